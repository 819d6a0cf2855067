// Every conformance vector has the listed symbols, or is refused where it is listed so.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { qualities, unpack } from "../../src/container";
import { FormatError } from "../../src/errors";
import { Prior, digestInput } from "../../src/prior";
import { modelId, readSafetensors } from "../../src/safetensors";
import { file, folders } from "../vectors";

function digest(prior: Prior, data: Uint8Array, partial = false): string {
  const osd = unpack(data, undefined, partial);
  const symbols = prior.decode(osd, qualities(osd, prior.stride, ...prior.size(osd)));
  return createHash("sha256").update(digestInput(symbols)).digest("hex");
}

for (const folder of folders()) {
  const tensors = readSafetensors(new Uint8Array(readFileSync(folder.weights)));
  const prior = new Prior(tensors);
  const id = modelId(tensors);
  for (const vector of folder.vectors) {
    test(`${folder.name}/${vector.name}: ${vector.what}`, () => {
      const data = file(folder.name, `${vector.name}.osd`);
      assert.equal(unpack(data, undefined, folder.partial).modelId, id);
      assert.equal(digest(prior, data, folder.partial), vector.symbols);
    });
  }
  for (const vector of folder.refused ?? []) {
    test(`${folder.name}/${vector.name} is refused: ${vector.what}`, () => {
      assert.throws(() => digest(prior, file(folder.name, `${vector.name}.osd`), folder.partial), FormatError);
    });
  }
}
