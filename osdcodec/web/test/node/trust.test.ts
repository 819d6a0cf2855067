// The map of trust: the numbers of the Python decoder for the same file.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { Decoding } from "../../src/decoder";
import { Networks, type Runtime } from "../../src/networks";
import { share, tinted, type TrustMap } from "../../src/trust";
import { checkedTrust, loadWeights } from "../../src/weights";
import { ROOT, file } from "../vectors";

ort.env.wasm.numThreads = 1;
const EMBEDDED = join(ROOT, "osdcodec/embedded");
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
const read = (name: string) => new Uint8Array(readFileSync(join(EMBEDDED, name)));

async function networks(): Promise<Networks> {
  const bytes = read("small.safetensors");
  return new Networks(ort as unknown as Runtime, await loadWeights(bytes, { sha256: sha256(bytes) }));
}

// python: osdcodec.decode("spec/vectors/embedded/astronaut.osd", trust=True)[1], rounded
const EXPECTED = {
  luma: [34.6, 38.2, 36.4, 42.5, 40.4, 33.4, 34.3, 45.5, 35.6, 37.3, 44.8, 38.8, 32.5, 38.1, 38.4, 34.8],
  chroma: [7.4, 8.7, 6.4, 6.2, 11.8, 10.0, 8.2, 7.3, 14.9, 15.6, 14.3, 7.2, 15.3, 15.3, 10.7, 7.3],
  texture: [0.791, 0.749, 0.818, 0.809, 0.751, 0.784, 0.828, 0.753, 0.584, 0.564, 0.727, 0.837, 0.553, 0.572, 0.818, 0.779],
};

test("the map is that of the Python decoder", async () => {
  const opened = await networks();
  const graph = read("trust.onnx");
  const decoding = await Decoding.open(file("embedded", "astronaut.osd"), opened);
  await assert.rejects(decoding.trust(), { name: "WeightsError", message: /no map of trust/ });
  opened.model.trust = () => checkedTrust(graph, { file: "trust.onnx", sha256: sha256(graph) });
  const map = await decoding.trust();
  assert.deepEqual([map.rows, map.columns, map.width, map.height], [4, 4, 64, 64]);
  for (const [name, expected] of Object.entries(EXPECTED)) {
    const found = map[name as "luma"];
    const tolerance = name === "texture" ? 0.02 : 0.3; // pixels may differ by a level
    expected.forEach((value, at) => assert.ok(Math.abs(found[at] - value) <= tolerance, `${name} ${at}: ${found[at]}, not ${value}`));
  }
});

test("a graph that is not the one listed is refused", async () => {
  await assert.rejects(checkedTrust(Uint8Array.of(1, 2), { file: "trust.onnx", sha256: "00" }), { name: "WeightsError" });
});

test("colours are dark where the picture can be trusted and yellow where it cannot", () => {
  assert.deepEqual([share(1), share(2), share(48), share(200)], [0, 0, 1, 1]);
  assert.ok(Math.abs(share(Math.sqrt(2 * 48)) - 0.5) < 1e-12);
  const none = new Float32Array(2);
  const map: TrustMap = { rows: 1, columns: 2, width: 32, height: 16, luma: Float32Array.of(1, 99), chroma: none, texture: none };
  const data = new Uint8ClampedArray(4 * 32 * 16).fill(100);
  const found = tinted({ width: 32, height: 16, data }, map).data;
  const at = (x: number) => [...found.subarray(4 * (8 * 32 + x), 4 * (8 * 32 + x) + 4)];
  assert.deepEqual(at(0), [77, 29, 88, 100]); // 0.28 of the grey and 0.72 of the colour; alpha stays
  assert.deepEqual(at(31), [210, 194, 55, 100]);
});
