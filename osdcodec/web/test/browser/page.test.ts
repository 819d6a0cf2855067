// The site in Chromium: the vectors, the page, damaged files, `osdc view`. `npm run test:browser` runs this; it needs
// Python with osdc (PYTHON, default python3) and Chromium (CHROMIUM, default /usr/bin/chromium).

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Page } from "playwright-core";
import { distance, readPng } from "../pictures";
import { ROOT, file, folders } from "../vectors";
import { PYTHON, openStage, type Stage } from "./stage";

const SHOTS = join(ROOT, "osdcodec/web/build/screenshots");
const PATIENCE = { timeout: 120_000 };
const PHOTO = "spec/vectors/embedded/astronaut.osd";

describe("the site", { timeout: 1_800_000 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await openStage();
    mkdirSync(SHOTS, { recursive: true });
  });
  after(() => stage?.close());

  /** A page that complains about errors and about requests to elsewhere. */
  async function visit(address: string, options: Parameters<Stage["browser"]["newPage"]>[0] = {}): Promise<Page> {
    const page = await stage.browser.newPage(options);
    page.on("pageerror", (error) => assert.fail(`the page raised ${error.message}`));
    page.on("request", (request) => {
      const url = new URL(request.url());
      assert.ok(["blob:", "data:"].includes(url.protocol) || url.hostname === "127.0.0.1", `it asked ${url}`);
      assert.equal(request.method(), "GET");
    });
    await page.goto(address);
    return page;
  }

  async function decoded(page: Page): Promise<void> {
    await page.waitForFunction(() => /Decoded/.test(document.getElementById("status")!.textContent!) || document.getElementById("error")!.textContent, null, PATIENCE);
    assert.equal(await page.textContent("#error"), "");
  }

  const pixels = (page: Page, selector = "#picture") =>
    page.evaluate((selector) => {
      const canvas = document.querySelector<HTMLCanvasElement>(selector) ?? document.querySelector("osd-image")!.shadowRoot!.querySelector("canvas")!;
      const { width, height, data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return { width, height, data: [...data] };
    }, selector);

  test("every vector has the listed symbols, or is refused", async () => {
    const page = await visit(`${stage.url}?`);
    for (const folder of folders()) {
      const weights = folder.weights.slice(ROOT.length);
      const listed = [...folder.vectors, ...(folder.refused ?? []).map((vector) => ({ ...vector, symbols: "FormatError" }))];
      const found = page.evaluate(
        async ({ weights, names, partial }) => {
          const { digest } = await import("/harness.js" as string);
          const found = [];
          for (const name of names) found.push(await digest(weights, name, partial));
          return found;
        },
        { weights, names: listed.map(({ name }) => `/spec/vectors/${folder.name}/${name}.osd`), partial: folder.partial },
      );
      if (folder.unusable) await assert.rejects(found, /WeightsError/, folder.name);
      else assert.deepEqual(await found, listed.map(({ symbols }) => symbols), folder.name);
    }
    await page.close();
  });

  for (const threads of ["one thread", "threads"]) {
    test(`pictures are those of the vectors, with ${threads}`, async () => {
      const page = await visit(threads === "threads" ? stage.url : stage.plain);
      assert.equal(await page.evaluate(() => crossOriginIsolated), threads === "threads");
      const chosen = folders().flatMap((folder) => (folder.name === "embedded" ? folder.vectors : folder.vectors.filter(({ name }) => /^(alpha|odd|grey|regions|whole-sections|cut-90)$/.test(name))).map((vector) => ({ folder, vector })));
      for (const { folder, vector } of chosen.filter(({ folder }) => folder.pictures)) {
        const found = await page.evaluate(
          async ({ name, partial }) => {
            const { Client } = await import("/harness.js" as string);
            const state = window as any;
            state.client ??= new Client();
            const handle = await state.client.open(new Uint8Array(await (await fetch(name)).arrayBuffer()), undefined, { partial });
            const preview = await handle.preview();
            const { width, height, data } = await handle.picture();
            handle.close();
            return { width, height, data: [...data], preview: preview && [preview.width, preview.height] };
          },
          { name: `/spec/vectors/${folder.name}/${vector.name}.osd`, partial: folder.partial },
        );
        const { rmse, peak } = distance(found, readPng(file(folder.name, `${vector.name}.png`)));
        assert.ok(rmse <= folder.rmse! && peak <= folder.peak!, `${folder.name}/${vector.name}: RMSE ${rmse}, peak ${peak}`);
        if (folder.name === "embedded") assert.deepEqual(found.preview, [Math.ceil(found.width / 2), Math.ceil(found.height / 2)]);
        if (vector.name === "alpha") assert.ok(new Set(found.data.filter((_, i) => i % 4 === 3)).size > 50, "a radial gradient");
      }
      await page.close();
    });
  }

  for (const [width, height] of [[1280, 800], [390, 844]]) {
    for (const colorScheme of ["light", "dark"] as const) {
      test(`a picture opens from a link at ${width}x${height}, ${colorScheme}`, async () => {
        const page = await visit(`${stage.url}?src=${PHOTO}`, { viewport: { width, height }, colorScheme });
        await decoded(page);
        const { data, ...size } = await pixels(page);
        assert.deepEqual(size, { width: 64, height: 64 });
        assert.ok(distance({ ...size, data }, readPng(file("embedded", "astronaut.png"))).rmse <= 0.5);
        assert.match((await page.textContent("#facts"))!, /64 × 64 pixels.*bits per pixel.*λ 1\.00/s);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing to scroll sideways");
        writeFileSync(join(SHOTS, `page-${width}-${colorScheme}.png`), await page.screenshot());
        await page.close();
      });
    }
  }

  test("detail and seed change the picture, and it is saved as it is shown", async () => {
    const page = await visit(`${stage.url}?src=${PHOTO}`);
    await decoded(page);
    const seen = [await pixels(page)];
    await page.getByRole("slider", { name: "Detail" }).fill("0");
    await changed(page, seen);
    await page.getByRole("slider", { name: "Detail" }).press("End");
    await changed(page, seen);
    await page.getByRole("textbox", { name: "Seed" }).fill("7");
    await changed(page, seen);
    await page.getByRole("button", { name: "New seed" }).press("Enter");
    await changed(page, seen);
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save as PNG" }).click()]);
    assert.equal(download.suggestedFilename(), "astronaut.png");
    const saved = readPng(readFileSync(await download.path()));
    assert.deepEqual(distance(saved, seen.at(-1)!), { rmse: 0, peak: 0 });
    await page.close();
  });

  test("key t shows what is invented, over any detail, and the picture again", async () => {
    const page = await visit(`${stage.url}?src=${PHOTO}`, { viewport: { width: 1200, height: 800 } });
    await decoded(page);
    const button = page.getByRole("button", { name: "What is invented" });
    const seen = [await pixels(page)];
    await page.keyboard.press("t");
    await changed(page, seen);
    assert.equal(await button.getAttribute("aria-pressed"), "true");
    assert.match((await page.textContent("#legend"))!, /48\+.*levels of 255/s);
    writeFileSync(join(SHOTS, "page-trust.png"), await page.screenshot());
    await page.getByRole("slider", { name: "Detail" }).fill("0");
    await changed(page, seen);
    await page.getByRole("slider", { name: "Detail" }).fill("1");
    await page.waitForTimeout(3000);
    await button.click();
    assert.ok(distance(await pixels(page), seen[0]).rmse <= 0.5, "the picture is unchanged");
    assert.ok(await page.isHidden("#legend"));
    await page.close();
  });

  test("the browser converts the colours of a profile, and saves what the file holds", async () => {
    const page = await visit(`${stage.url}?src=spec/vectors/conformance/metadata.osd`);
    await decoded(page);
    const shown = await pixels(page);
    assert.ok(distance(shown, readPng(file("conformance", "metadata.png"))).rmse <= 1.5, "an sRGB profile changes roundings only");
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save as PNG" }).click()]);
    const saved = readFileSync(await download.path());
    for (const chunk of ["iCCP", "eXIf", "iTXtXML:com.adobe.xmp"]) assert.ok(saved.includes(chunk), chunk);
    assert.ok(distance(readPng(saved), readPng(file("conformance", "metadata.png"))).rmse <= 0.5);
    await page.close();
  });

  /** Waits until the picture is another than those seen, and adds it. */
  async function changed(page: Page, seen: { width: number; height: number; data: number[] }[]): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      const now = await pixels(page);
      if (seen.every((one) => distance(one, now).rmse > 0)) return void seen.push(now);
      await page.waitForTimeout(50);
    }
    assert.fail("the picture stays the same");
  }

  test("files are chosen, dropped and pasted; the keyboard reaches everything", async () => {
    const page = await visit(stage.url);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement!.id), "file");
    await page.setInputFiles("#file", join(ROOT, PHOTO));
    await decoded(page);
    for (const [event, kind] of [["drop", "DragEvent"], ["paste", "ClipboardEvent"]]) {
      await page.evaluate(
        async ({ event, kind }) => {
          const data = new DataTransfer();
          data.items.add(new File([await (await fetch("/spec/vectors/embedded/coffee.osd")).arrayBuffer()], `${event}.osd`));
          const init = kind === "DragEvent" ? { dataTransfer: data } : { clipboardData: data };
          document.getElementById("status")!.textContent = "";
          document.dispatchEvent(new (window as any)[kind](event, { ...init, bubbles: true }));
        },
        { event, kind },
      );
      await decoded(page);
      assert.match((await page.textContent("#list"))!, new RegExp(`${event}.osd`));
    }
    const reached = new Set<string>();
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement!.id));
    }
    for (const id of ["detail", "seed", "another", "save", "other"]) assert.ok(reached.has(id), id);
    await page.close();
  });

  test("what is damaged, cut, no .osd file or missing ends in one sentence", async () => {
    const page = await visit(stage.url);
    const good = readFileSync(join(ROOT, PHOTO));
    const flipped = Buffer.from(good);
    flipped[20] ^= 4;
    const cases: [string, Buffer, RegExp][] = [
      ["flipped.osd", flipped, /checksum/],
      ["cut.osd", good.subarray(0, 40), /checksum/],
      ["empty.osd", Buffer.alloc(0), /empty file/],
      ["photo.png", readFileSync(join(ROOT, "spec/vectors/embedded/astronaut.png")), /not an .osd file/],
      ["other.osd", readFileSync(join(ROOT, "spec/vectors/symbols/one-position.osd")), /model [0-9a-f]{8}, which this page does not have/],
      ["end.osd", Buffer.from(readFileSync(join(ROOT, "spec/vectors/progressive/bad-end.osd"))), /payload/],
    ];
    for (const [name, buffer, message] of cases) {
      await page.setInputFiles("#file", { name, mimeType: "application/octet-stream", buffer });
      await page.waitForFunction((name) => document.getElementById("error")!.textContent!.startsWith(name), name, PATIENCE);
      assert.match((await page.textContent("#error"))!, message);
      assert.ok(await page.isVisible("#invite"));
    }
    await page.setInputFiles("#file", join(ROOT, PHOTO)); // and the page goes on
    await decoded(page);
    for (const [link, message] of [["nowhere.osd", /server says 404/], ["javascript:alert(1)", /only http and https/]] as const) {
      await page.goto(`${stage.url}?src=${encodeURIComponent(link)}`);
      await page.waitForFunction(() => document.getElementById("error")!.textContent, null, PATIENCE);
      assert.match((await page.textContent("#error"))!, message);
    }
    await page.close();
  });

  test("mutated files are refused or decode, soon", async () => {
    const page = await visit(stage.url);
    const seeds = ["one-pixel", "anchor-2", "metadata", "alpha", "edges-0", "regions"].map((name) => file("conformance", `${name}.osd`));
    let state = 1; // a small generator, so that a failure comes again
    const draw = (n: number) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % n;
    const files = Array.from({ length: 400 }, (_, n) => {
      const body = [...seeds[n % seeds.length].subarray(0, -4)];
      for (let times = 1 + draw(4); times; times--) {
        const at = draw(body.length);
        if (draw(3)) body[at] ^= 1 << draw(8);
        else body.splice(at, draw(6), ...Array.from({ length: draw(4) }, () => draw(256)));
      }
      return [...body, ...checksum(body)];
    });
    const start = performance.now();
    const found: string[] = await page.evaluate(async (files) => {
      const { digest } = await import("/harness.js" as string);
      const found = [];
      for (const one of files) found.push(await digest("/spec/vectors/conformance/conformance.safetensors", one));
      return found;
    }, files);
    const strange = found.filter((outcome) => outcome !== "FormatError" && !/^[0-9a-f]{64}$/.test(outcome));
    assert.deepEqual(strange, []);
    assert.ok(found.filter((outcome) => outcome === "FormatError").length > 200);
    assert.ok(performance.now() - start < 60_000);
    await page.close();
  });

  test("osdc view shows a file until it is interrupted", async () => {
    const served = spawn(PYTHON, ["-m", "osdcodec", "view", PHOTO, "--no-browser"], { cwd: ROOT, stdio: ["ignore", "ignore", "pipe"] });
    const [line] = (await once(served.stderr, "data")) as [Buffer];
    const page = await visit(String(line).match(/http:\S+/)![0]);
    await decoded(page);
    assert.ok(await page.evaluate(() => crossOriginIsolated));
    await page.close();
    served.kill("SIGINT");
    assert.deepEqual(await once(served, "exit"), [0, null]);
  });
});

/** The four bytes that make a body a file. */
function checksum(body: number[]): number[] {
  let crc = ~0;
  for (const byte of body) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  crc = ~crc;
  return [crc & 255, (crc >>> 8) & 255, (crc >>> 16) & 255, crc >>> 24];
}
