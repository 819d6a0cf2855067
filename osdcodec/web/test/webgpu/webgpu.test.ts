// The networks by WebGPU in Chromium, on SwiftShader, a processor that plays a GPU: slow, but the shaders are those of a GPU.
// `npm run test:webgpu` runs this; it needs what the tests in ../browser need.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { distance, readPng } from "../pictures";
import { file, folders } from "../vectors";
import { openStage, type Stage } from "../browser/stage";

const FLAGS = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

describe("WebGPU", { timeout: 3_600_000 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await openStage(FLAGS);
  });
  after(() => stage?.close());

  test("gives the pictures of the vectors, and the GPU does the work", async () => {
    const page = await stage.browser.newPage();
    await page.goto(stage.url);
    const adapter = await page.evaluate(async () => (await (navigator as any).gpu?.requestAdapter())?.info?.architecture);
    assert.equal(adapter, "swiftshader");
    const started = page.waitForEvent("worker");
    await page.evaluate(async () => {
      const { Client } = await import("/harness.js" as string);
      (window as any).client = new Client({ provider: "webgpu" });
    });
    const worker = await started;
    await worker.evaluate(() => {
      const state = globalThis as any;
      state.dispatched = 0;
      for (const name of ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"]) {
        const prototype = state.GPUComputePassEncoder.prototype;
        const dispatch = prototype[name];
        prototype[name] = function (...sizes: unknown[]) {
          state.dispatched++;
          return dispatch.apply(this, sizes);
        };
      }
    });
    let before = 0;
    const chosen = { embedded: /./, conformance: /^odd$/ }; // of the latter model WebGPU's convolutions are wrong: it is not asked
    for (const folder of folders().filter(({ name }) => name in chosen)) {
      for (const { name } of folder.vectors.filter(({ name }) => chosen[folder.name as keyof typeof chosen].test(name))) {
        const start = performance.now();
        const found = await page.evaluate(
          async (name) => {
            const handle = await (window as any).client.open(new Uint8Array(await (await fetch(name)).arrayBuffer()));
            const { width, height, data } = await handle.picture();
            handle.close();
            return { width, height, data: [...data] };
          },
          `/spec/vectors/${folder.name}/${name}.osd`,
        );
        const { rmse, peak } = distance(found, readPng(file(folder.name, `${name}.png`)));
        const dispatched = await worker.evaluate(() => (globalThis as any).dispatched as number);
        const seconds = ((performance.now() - start) / 1000).toFixed(1);
        console.log(`${folder.name}/${name}: RMSE ${rmse.toFixed(3)}, peak ${peak}, ${dispatched - before} dispatches, ${seconds} s`);
        assert.ok(rmse <= folder.rmse! && peak <= folder.peak!, `${folder.name}/${name}: RMSE ${rmse}, peak ${peak}`);
        assert.equal(dispatched - before > 100, folder.name === "embedded", `${folder.name}/${name}: ${dispatched - before} dispatches`);
        before = dispatched;
      }
    }
    await page.close();
  });

  test("is not taken unasked where a processor plays the GPU", async () => {
    const page = await stage.browser.newPage();
    await page.goto(stage.url);
    assert.equal(
      await page.evaluate(async () => {
        const { seesGpu } = await import("/harness.js" as string);
        return seesGpu();
      }),
      false,
    );
    await page.close();
  });
});
