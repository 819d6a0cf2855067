// The networks, through onnxruntime-web in Node: pictures of the vectors within the tolerance that they state.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { PNG } from "pngjs";
import { decode } from "../../src/decoder";
import { Networks, type Runtime } from "../../src/networks";
import { loadWeights } from "../../src/weights";
import { file, folders } from "../vectors";

ort.env.wasm.numThreads = 1;

for (const folder of folders().filter(({ rmse }) => rmse !== undefined)) {
  const bytes = new Uint8Array(readFileSync(folder.weights));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const networks = loadWeights(bytes, { sha256 }).then((model) => new Networks(ort as unknown as Runtime, model));
  for (const vector of folder.vectors.filter(({ name }) => !/alpha|sections/.test(name))) {
    test(`${folder.name}/${vector.name}`, async () => {
      const picture = await decode(file(folder.name, `${vector.name}.osd`), await networks, { partial: folder.partial });
      const png = PNG.sync.read(Buffer.from(file(folder.name, `${vector.name}.png`)));
      assert.deepEqual([picture.width, picture.height], [png.width, png.height]);
      const [rmse, peak] = distance(picture.data, png.data);
      assert.ok(rmse <= folder.rmse! && peak <= folder.peak!, `RMSE ${rmse}, peak ${peak}`);
    });
  }
}

/** Of the colours; every fourth value is alpha. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): [number, number] {
  let [sum, peak] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    if (i % 4 === 3) continue;
    const difference = Math.abs(a[i] - b[i]);
    sum += difference ** 2;
    peak = Math.max(peak, difference);
  }
  return [Math.sqrt(sum / (0.75 * a.length)), peak];
}
