// The page of one file, opened from a folder in a browser that is offline.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { distance, readPng } from "../pictures";
import { ROOT, file } from "../vectors";
import { PYTHON, launch } from "./stage";

describe("osdc web --single", { timeout: 300_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "osdc-single-"));
  let browser: Browser;
  before(async () => (browser = await launch(["--disable-gpu"])));
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  test("opens from a file, offline, and decodes", async () => {
    const page = join(folder, "photo.html");
    execFileSync(PYTHON, ["-m", "osdcodec", "web", "--single", "spec/vectors/embedded/astronaut.osd", "-o", page], { cwd: ROOT, stdio: "ignore" });
    assert.ok(statSync(page).size < 40e6);
    const context = await browser.newContext({ offline: true });
    const tab = await context.newPage();
    const asked: string[] = [];
    tab.on("request", (request) => asked.push(request.url()));
    tab.on("pageerror", (error) => assert.fail(`the page raised ${error.message}`));
    await tab.goto(pathToFileURL(page).href);
    await tab.waitForFunction(() => /Decoded/.test(document.getElementById("status")!.textContent!) || document.getElementById("error")!.textContent, null, { timeout: 120_000 });
    assert.equal(await tab.textContent("#error"), "");
    const found = await tab.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>("#picture")!;
      const { width, height, data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return { width, height, data: [...data] };
    });
    assert.ok(distance(found, readPng(file("embedded", "astronaut.png"))).rmse <= 0.5);
    assert.deepEqual(asked.filter((url) => !/^(file|blob|data):/.test(url)), []);
    assert.match((await tab.textContent("#list"))!, /astronaut\.osd/);
    await context.close();
  });
});
