// Noise, tiles and damaged files.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { qualities, unpack } from "../../src/container";
import { decode } from "../../src/decoder";
import { FormatError } from "../../src/errors";
import { Networks, alphaBar, level, type Runtime } from "../../src/networks";
import { standardNormals } from "../../src/noise";
import { Prior } from "../../src/prior";
import { readSafetensors } from "../../src/safetensors";
import { Model } from "../../src/weights";
import { distance } from "../pictures";
import { ROOT, file, folders } from "../vectors";

test("noise is what spec/weights.md says", () => {
  const lines = readFileSync(join(ROOT, "spec/weights.md"), "utf8").match(/^[07] ( -?\d\.\d+){8}$/gm)!;
  assert.equal(lines.length, 2);
  for (const line of lines) {
    const [seed, ...numbers] = line.split(/ +/).map(Number);
    assert.deepEqual([...standardNormals(BigInt(seed), 8)], numbers.map(Math.fround).map((x, i) => near(x, standardNormals(BigInt(seed), 8)[i])));
  }
});

/** The printed number has seven digits: it stands for the single-precision number beside it. */
function near(printed: number, found: number): number {
  return Math.abs(printed - found) <= 1e-6 * Math.abs(printed) ? found : printed;
}

test("noise has the moments of a normal distribution, tails too", () => {
  const numbers = standardNormals(2n ** 64n - 1n, 200_000);
  const mean = (power: number) => numbers.reduce((sum, x) => sum + x ** power, 0) / numbers.length;
  assert.ok(Math.abs(mean(1)) < 0.01 && Math.abs(mean(2) - 1) < 0.02 && Math.abs(mean(4) - 3) < 0.15);
  assert.ok(numbers.some((x) => Math.abs(x) > 3.6541528853610088));
});

test("levels of noise", () => {
  assert.deepEqual([0, 196, 255].map(level), [120, 258, 300]);
  assert.ok(Math.abs(alphaBar(0) - (1 - 0.00085)) < 1e-12);
});

const [conformance] = folders().filter(({ name }) => name === "conformance");
const tensors = readSafetensors(new Uint8Array(readFileSync(conformance.weights)));

test("tiles make the same picture", async () => {
  ort.env.wasm.numThreads = 1;
  const data = file("conformance", "regions.osd");
  const margins = { synthesise: 6, denoise: 6, render: 4 }; // this model sees no further
  const whole = await decode(data, new Networks(ort as unknown as Runtime, new Model(tensors)));
  const tiled = await decode(data, new Networks(ort as unknown as Runtime, new Model(tensors, margins), "wasm", 2));
  const { rmse, peak } = distance(whole, tiled);
  assert.ok(peak <= 1, `RMSE ${rmse}, peak ${peak}`);
});

test("every flipped bit and every truncation is refused", () => {
  const prior = new Prior(tensors);
  const refused = (data: Uint8Array) => {
    try {
      const osd = unpack(data);
      prior.decode(osd, qualities(osd, prior.stride, ...prior.size(osd)));
      return false;
    } catch (error) {
      if (error instanceof FormatError) return true;
      throw error;
    }
  };
  for (const name of ["one-pixel", "metadata"]) {
    const data = file("conformance", `${name}.osd`);
    for (let bit = 0; bit < 8 * data.length; bit++) {
      const flipped = data.slice();
      flipped[bit >> 3] ^= 1 << (bit & 7);
      assert.ok(refused(flipped), `${name}, bit ${bit}`);
    }
    for (let length = 0; length < data.length; length++) assert.ok(refused(data.subarray(0, length)), `${name}, ${length} bytes`);
  }
});
