// Noise, tiles and damaged files.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { qualities, unpack } from "../../src/container";
import { decode } from "../../src/decoder";
import { FormatError } from "../../src/errors";
import { restore } from "../../src/flat-background";
import { Networks, alphaBar, level, type Runtime } from "../../src/networks";
import { standardNormals } from "../../src/noise";
import { Prior } from "../../src/prior";
import { readMetadata, readSafetensors } from "../../src/safetensors";
import { spans } from "../../src/tiles";
import { Model, loadWeights } from "../../src/weights";
import { distance } from "../pictures";
import { ROOT, file, folders } from "../vectors";

test("noise follows spec/weights.md", () => {
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

test("flat background is restored where windows are near to the last pixel", () => {
  // The picture of tests/test_flat_background.py: up to four levels off 200, 210, 220, one 20 off, and a dark square.
  const picture = { width: 40, height: 28, data: new Uint8ClampedArray(4 * 40 * 28).fill(255) };
  for (let i = 0; i < 28; i++) {
    for (let j = 0; j < 40; j++) {
      const off = ((i * 7 + j * 13) % 9) - 4 + (i === 5 && j === 5 ? 20 : 0);
      const dark = i >= 10 && i < 12 && j >= 30 && j < 32;
      picture.data.set([200, 210, 220].map((value) => (dark ? 20 : value + off)), 4 * (i * 40 + j));
    }
  }
  const before = picture.data.slice();
  restore(picture, [[3, 200, 210, 220]]);
  assert.deepEqual(picture.data, before);
  restore(picture, [[8, 200, 210, 220]]);
  for (let i = 0; i < 28; i++) {
    for (let j = 0; j < 40; j++) {
      const at = 4 * (i * 40 + j);
      const kept = (i < 6 && j < 6) || (i < 12 && j >= 30);
      assert.deepEqual([...picture.data.subarray(at, at + 4)], kept ? [...before.subarray(at, at + 4)] : [200, 210, 220, 255], `${i}, ${j}`);
    }
  }
  const small = { width: 2, height: 1, data: Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 255) };
  restore(small, [[4, 4, 4, 4]]);
  assert.deepEqual([...small.data], [4, 4, 4, 255, 4, 4, 4, 255]);
});

test("levels of noise", () => {
  assert.deepEqual([0, 196, 255].map((q) => level(q, [120, 300])), [120, 258, 300]);
  assert.deepEqual([0, 196, 255].map((q) => level(q, [200, 60])), [200, 92, 60]);
  assert.ok(Math.abs(alphaBar(0) - (1 - 0.00085)) < 1e-12);
});

const [conformance] = folders().filter(({ name }) => name === "conformance");
const bytes = new Uint8Array(readFileSync(conformance.weights));
const tensors = readSafetensors(bytes);

/** The weights file with another header. */
function rewritten(change: (header: any) => void): Uint8Array {
  const start = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  change(header);
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer);
  return Uint8Array.from([...length, ...text, ...bytes.subarray(start)]);
}

const opened = (data: Uint8Array) => loadWeights(data, { sha256: createHash("sha256").update(data).digest("hex") });
const changed = (changes: object, fields: object = {}) =>
  opened(
    rewritten((header) => {
      header.__metadata__.changes = JSON.stringify(changes);
      header.__metadata__.fields = JSON.stringify(fields);
    }),
  );

test("models of other noise levels or layers are taken, and those of parts that do not run here refused in one line", async () => {
  assert.equal(readMetadata(bytes).profile, "conformance");
  assert.deepEqual((await opened(bytes)).noise, [120, 300]);
  const taken = await changed({ noise_low: 200, noise_high: 400, decoder_layers: [0, 1], steps: [1], base_codes: 0, decoder_semantics: false });
  assert.deepEqual(taken.noise, [200, 400]);
  for (const change of [{ steps: [2] }, { steps: [1, 1, 2, 2, 5] }, { base_codes: 64 }, { decoder_semantics: true }, { colours: 4 }, { noise_low: 1000 }]) {
    await assert.rejects(changed(change), ({ name, message }: Error) => name === "WeightsError" && /^the weights.*$/.test(message));
  }
});

test("of a change whose name is new here the weights say what it means for a decoder", async () => {
  const field = (scope: string) => ({ colours: { scope, least: 0, most: 9, off: 2 } });
  for (const [scope, value] of [["sizes", 4], ["part", 2], ["part", [2, 2]], ["pretrained", 2]] as const) await changed({ colours: value }, field(scope));
  for (const [scope, value] of [["part", 4], ["part", [2, 4]], ["noise", 2], ["other", 2]] as const) {
    await assert.rejects(changed({ colours: value }, field(scope)), { name: "WeightsError", message: /^the weights are of a model with colours / });
  }
  const known = { base_codes: { scope: "sizes", least: 0, most: 9, off: 0 } }; // what is known here goes first
  await assert.rejects(changed({ base_codes: 4 }, known), { name: "WeightsError", message: /base_codes/ });
});

test("margins of tiles that the weights tell go before those listed", async () => {
  const told = { analyse: 4, synthesise: 1, denoise: 2, render: 3 };
  const withMargins = (margins: object) => opened(rewritten((header) => (header.__metadata__.margins = JSON.stringify(margins))));
  assert.deepEqual((await withMargins(told)).margins, told);
  await assert.rejects(withMargins({ render: 3 }), { name: "WeightsError" });
});

test("weights whose symbols or networks are others are refused in one line", async () => {
  const renamed = (from: string, to: string) =>
    rewritten((header) => {
      header[to] = header[from];
      delete header[from];
    });
  const cases: [Uint8Array, RegExp][] = [
    [rewritten((header) => (header["prior.more"] = header["prior.tables"])), /^the weights have the tensor prior\.more.*$/],
    [renamed("graph.render", "elsewhere"), /^the weights have no network to render.*$/],
    [renamed("prior.tables", "elsewhere"), /^the weights lack the tensor prior\.tables$/],
    [rewritten((header) => (header["prior.context.0.0.weight"].shape[0] = 2 ** 30)), /^the weights are not a safetensors file \(prior\.context.*$/],
    [bytes.subarray(0, 1000), /^the weights are not a safetensors file.*$/],
    [new Uint8Array(0), /^the weights are not a safetensors file.*$/],
  ];
  for (const [data, message] of cases) await assert.rejects(opened(data), { name: "WeightsError", message });
});

test("a picture is cut as little as its size allows", () => {
  const cuts = (length: number, most: number, margin?: number) => spans(length, most, margin).map(({ start, stop, low, high }) => [start, stop, low, high]);
  assert.deepEqual(cuts(72, 72, 16), [[0, 72, 0, 72]]);
  assert.deepEqual(cuts(500, 72), [[0, 500, 0, 500]]);
  assert.deepEqual(cuts(73, 72, 16), [[0, 37, 0, 53], [37, 73, 21, 73]]);
  assert.deepEqual(cuts(120, 72, 16), [[0, 40, 0, 56], [40, 80, 24, 96], [80, 120, 64, 120]]);
  for (let length = 1; length < 300; length++) {
    const parts = spans(length, 40, 14);
    assert.deepEqual([parts[0].start, parts.at(-1)!.stop], [0, length]);
    parts.forEach(({ start, low, high }, n) => assert.ok((n === 0 || start === parts[n - 1].stop) && high - low <= 40 && (start - low === 14 || low === 0)));
  }
});

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
