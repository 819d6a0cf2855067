// The networks, through onnxruntime-web in Node: pictures of the vectors within the tolerance that they state.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { decode } from "../../src/decoder";
import { Networks, type Runtime } from "../../src/networks";
import { loadWeights } from "../../src/weights";
import { distance, readPng } from "../pictures";
import { file, folders } from "../vectors";

ort.env.wasm.numThreads = 1;

for (const folder of folders().filter(({ pictures }) => pictures)) {
  const bytes = new Uint8Array(readFileSync(folder.weights));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const networks = loadWeights(bytes, { sha256 }).then((model) => new Networks(ort as unknown as Runtime, model));
  // Browsers decode alpha; Node has nothing to do it with.
  for (const vector of folder.vectors.filter(({ name }) => !/alpha/.test(name))) {
    test(`${folder.name}/${vector.name}`, async () => {
      const picture = await decode(file(folder.name, `${vector.name}.osd`), await networks, { partial: folder.partial });
      const { rmse, peak } = distance(picture, readPng(file(folder.name, `${vector.name}.png`)));
      assert.ok(rmse <= folder.rmse! && peak <= folder.peak!, `RMSE ${rmse}, peak ${peak}`);
    });
  }
}

test("weights that are not those listed are refused before anything looks inside", async () => {
  const bytes = new Uint8Array(readFileSync(folders()[0].weights));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  bytes[bytes.length - 1] ^= 1;
  await assert.rejects(loadWeights(bytes, { sha256 }), { name: "WeightsError", message: /SHA-256 differs/ });
});
