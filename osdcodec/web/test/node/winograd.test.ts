// Networks whose convolutions are made cheaper are the same networks.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { contents, texts } from "../../src/protobuf";
import { readSafetensors } from "../../src/safetensors";
import { Model, type Network } from "../../src/weights";
import { folders } from "../vectors";

const [{ weights }] = folders().filter(({ name }) => name === "embedded");
const model = new Model(readSafetensors(new Uint8Array(readFileSync(weights))));

function numbers(shape: number[]): ort.Tensor {
  let state = 1;
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => (state = (state * 16807) % 2147483647) / 2 ** 30 - 1);
  return new ort.Tensor("float32", data, shape);
}

async function results({ graph, tensors }: Network, feeds: Record<string, ort.Tensor>): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(graph, { externalData: [{ path: "weights", data: tensors }], logSeverityLevel: 3 });
  return (await session.run(feeds))[session.outputNames[0]].data as Float32Array;
}

/** How many convolutions of a graph are made of combined rows. */
function cheaper({ graph }: Network): number {
  const nodes = contents(contents(graph, 7)[0], 1);
  return nodes.filter((node) => texts(node, 4)[0] === "Conv" && texts(node, 1).some((name) => /F\(\d, 3\)$/.test(name) && !/^(rows|products)/.test(name))).length;
}

const channels = 48; // of the latent
for (const [h, w] of [[1, 1], [2, 3], [3, 2], [4, 5]]) {
  test(`a picture of ${h} x ${w} positions comes out the same`, async () => {
    ort.env.wasm.numThreads = 1;
    const feeds = { z: numbers([1, channels, 2 * h, 2 * w]) };
    const [plain, other] = [await model.network("render"), await model.network("render", 2)];
    assert.deepEqual([cheaper(plain), cheaper(other)], [0, 60]);
    const [expected, found] = [await results(plain, feeds), await results(other, feeds)];
    const most = (values: Float32Array) => values.reduce((worst, value) => Math.max(worst, Math.abs(value)), 0);
    assert.ok(most(expected) > 0.5 && expected.length === 3 * (32 * h) * (32 * w));
    assert.ok(most(found.map((value, n) => value - expected[n])) < 2e-5 * most(expected));
  });
}

test("convolutions of rows of any number stay as they are", async () => {
  assert.equal(cheaper(await model.network("render", 1)), 60 - 14);
  assert.equal(cheaper(await model.network("denoise", 1)), 0);
});
