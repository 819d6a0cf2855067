// <osd-image> in Chromium: slow and late answers, moves, other origins and a strict Content-Security-Policy.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Page } from "playwright-core";
import { distance, readPng, type Pixels } from "../pictures";
import { file } from "../vectors";
import { openStage, type Stage } from "./stage";

const [PHOTO, OTHER] = ["astronaut", "coffee"].map((name) => `spec/vectors/embedded/${name}.osd`);
const CONTENT = "<b>fallback</b>";

describe("<osd-image>", { timeout: 900_000 }, () => {
  let stage: Stage;
  before(async () => (stage = await openStage()));
  after(() => stage?.close());

  /** A page with these elements; `heard` collects the events, `reported` what the policy forbade. */
  async function visit(body: string, base = stage.plain, script = "osd-image.js"): Promise<Page> {
    const record = `window.heard = []; window.reported = [];
      for (const name of ["preview", "load", "error"]) document.addEventListener(name, (event) => event.target.localName === "osd-image" && heard.push([event.target.id, name, event.message]), true);
      document.addEventListener("securitypolicyviolation", (event) => reported.push(event.violatedDirective + " " + event.blockedURI));`;
    writeFileSync(join(stage.site, "record.js"), record);
    writeFileSync(join(stage.site, "element.html"), `<!doctype html><script src="record.js"></script>${body}<script type="module" src="${script}"></script>`);
    const page = await stage.browser.newPage();
    page.on("pageerror", (error) => assert.fail(`the page raised ${error.message}`));
    await page.goto(`${base}element.html`);
    return page;
  }

  /** Waits until an element has fired an event so many times. A policy may forbid what Playwright's own waiting does. */
  async function heard(page: Page, id: string, name: string, times = 1): Promise<void> {
    for (let tries = 0; tries < 1200; tries++) {
      const found: string[][] = await page.evaluate("heard");
      if (found.filter(([of, what]) => of === id && what === name).length >= times) return;
      if (name !== "error" && found.some(([of, what]) => of === id && what === "error")) break;
      await page.waitForTimeout(100);
    }
    assert.fail(`no ${name} of ${id}: ${JSON.stringify(await page.evaluate("heard"))}`);
  }

  const shown = (page: Page, id = "e"): Promise<Pixels & { box: number[]; visible: boolean }> =>
    page.evaluate((id) => {
      const canvas = document.getElementById(id)!.shadowRoot!.querySelector("canvas")!;
      const { width, height, data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return { width, height, data: [...data], box: [canvas.clientWidth, canvas.clientHeight], visible: !canvas.hidden };
    }, id);

  async function shows(page: Page, name: string, id = "e"): Promise<void> {
    const found = await shown(page, id);
    const expected = readPng(file("embedded", `${name}.png`));
    assert.ok(distance(found, expected).rmse <= 0.5, `${id} shows ${name}`);
    assert.deepEqual([found.visible, ...found.box], [true, expected.width, expected.height]);
  }

  test("shows a picture, and its content where that fails", async () => {
    const page = await visit(`<osd-image id="good" src="${PHOTO}" alt="An astronaut">${CONTENT}</osd-image><osd-image id="bad" src="nowhere.osd">${CONTENT}</osd-image>`);
    await heard(page, "good", "load");
    await shows(page, "astronaut", "good");
    assert.ok(await page.isVisible("osd-image canvas[aria-label='An astronaut']"));
    await heard(page, "bad", "error");
    assert.ok(await page.isVisible("#bad b"));
    assert.ok(!(await page.isVisible("#good b")));
    await page.evaluate(() => document.getElementById("good")!.removeAttribute("src"));
    assert.ok(await page.isVisible("#good b"), "without a src there is no picture");
    await page.close();
  });

  test("goes on when it is moved while it loads", async () => {
    const page = await visit(`<div id="a"><osd-image id="e" src="${PHOTO}?delay=1000">${CONTENT}</osd-image></div><div id="b"></div>`);
    await page.evaluate(() => customElements.whenDefined("osd-image"));
    await page.evaluate(() => document.getElementById("b")!.append(document.getElementById("e")!));
    await heard(page, "e", "load");
    await shows(page, "astronaut");
    await page.evaluate(() => document.getElementById("a")!.append(document.getElementById("e")!)); // and once more, when it is there
    await page.evaluate(() => document.getElementById("e")!.setAttribute("detail", "0"));
    await heard(page, "e", "load", 2);
    assert.ok(distance(await shown(page), readPng(file("embedded", "astronaut.png"))).rmse > 0.5, "its file is still open");
    await page.close();
  });

  test("is released when it is taken out, and loads anew when it comes back", async () => {
    const page = await visit(`<osd-image id="e" src="${PHOTO}?delay=300">${CONTENT}</osd-image>`);
    const away = () => page.evaluate(() => { (window as any).kept = document.getElementById("e")!; (window as any).kept.remove(); });
    const back = () => page.evaluate(() => document.body.append((window as any).kept));
    await away();
    await page.waitForTimeout(1500);
    assert.deepEqual(await page.evaluate("heard"), [], "it is loaded no further");
    await back();
    await heard(page, "e", "load");
    await away();
    await back();
    await heard(page, "e", "load", 2);
    await shows(page, "astronaut");
    await page.close();
  });

  test("a late answer of an earlier src changes nothing", async () => {
    const page = await visit(`<osd-image id="e" src="${OTHER}?delay=3000">${CONTENT}</osd-image>`);
    await page.evaluate(() => customElements.whenDefined("osd-image"));
    await page.evaluate((src) => document.getElementById("e")!.setAttribute("src", src), PHOTO);
    await heard(page, "e", "load");
    await page.waitForTimeout(4000);
    await shows(page, "astronaut");
    for (const detail of ["0", "1"]) await page.evaluate((detail) => document.getElementById("e")!.setAttribute("detail", detail), detail);
    await heard(page, "e", "load", 2);
    await shows(page, "astronaut");
    await page.close();
  });

  test("a src that changes while an earlier file is being decoded wins, and what was opened is closed", async () => {
    const page = await visit(`<osd-image id="e">${CONTENT}</osd-image>`);
    await page.evaluate(() => customElements.whenDefined("osd-image"));
    const closed = await page.evaluate(
      async ([photo, other]) => {
        const calls: { call: string; id: number }[] = [];
        const post = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (message: any, ...rest: any[]) {
          calls.push(message);
          return (post as any).call(this, message, ...rest);
        };
        const element = document.getElementById("e")!;
        const opened = (count: number) => new Promise<void>((done) => {
          const timer = setInterval(() => {
            if (calls.filter(({ call }) => call === "open").length < count) return;
            clearInterval(timer);
            done();
          }, 1);
        });
        element.setAttribute("src", other);
        await opened(1);
        element.setAttribute("src", photo);
        await new Promise((done) => element.addEventListener("load", done));
        const first = calls.find(({ call }) => call === "open")!.id;
        return calls.some(({ call, id }) => call === "close" && id === first);
      },
      [PHOTO, OTHER],
    );
    assert.ok(closed);
    await shows(page, "astronaut");
    assert.deepEqual((await page.evaluate("heard") as string[][]).map(([, name]) => name), ["preview", "load"]);
    await page.close();
  });

  test("works from another origin", async () => {
    const other = stage.plain.slice(0, -1);
    const policy = `default-src 'none'; script-src 'self' ${other} blob: 'wasm-unsafe-eval'; worker-src blob: ${other}; connect-src 'self' ${other}; base-uri 'none'`;
    const body = `<meta http-equiv="Content-Security-Policy" content="${policy}"><osd-image id="e" src="${PHOTO}">${CONTENT}</osd-image>`;
    const page = await visit(body, other.replace("127.0.0.1", "localhost") + "/", `${other}/osd-image.js`);
    await heard(page, "e", "load");
    await shows(page, "astronaut");
    assert.deepEqual(await page.evaluate("reported"), []);
    await page.close();
  });

  test("README.md's example works under the Content-Security-Policy that README.md names", async () => {
    const page = await visit(`<osd-image id="e" src="${PHOTO}" alt="A cat"><img src="photo.jpg" alt="A cat"></osd-image>`, stage.strict);
    await heard(page, "e", "load");
    await shows(page, "astronaut");
    assert.deepEqual((await page.evaluate("reported") as string[]).filter((line) => !line.startsWith("img-src")), []);
    assert.deepEqual(await page.evaluate(() => crossOriginIsolated), true);
    await page.close();
  });

  test("a decoder that cannot start fails in one line, and the next picture tries again", async () => {
    const page = await stage.browser.newPage();
    let blocked = true;
    await page.route("**/worker.js", (route) => (blocked ? route.abort() : route.continue()));
    await page.goto(`${stage.plain}element.html`);
    await page.setContent(`<script src="${stage.plain}record.js"></script><osd-image id="e" src="${PHOTO}">${CONTENT}</osd-image><script type="module" src="${stage.plain}osd-image.js"></script>`);
    await heard(page, "e", "error");
    assert.ok(await page.isVisible("#e b"));
    blocked = false;
    await page.evaluate("heard.length = 0");
    await page.evaluate((src) => document.getElementById("e")!.setAttribute("src", src), `${PHOTO}?again`);
    await heard(page, "e", "load");
    await page.close();
  });
});
