// Every conformance vector has the listed symbols, or is refused where it is listed so.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { unpack } from "../../src/container";
import { FormatError, WeightsError } from "../../src/errors";
import { modelId, readSafetensors } from "../../src/safetensors";
import { reader } from "../reader";
import { file, folders } from "../vectors";

for (const folder of folders()) {
  const tensors = readSafetensors(new Uint8Array(readFileSync(folder.weights)));
  if (folder.unusable) {
    test(`${folder.name}: weights that must be refused`, () => assert.throws(() => reader(tensors), WeightsError));
    continue;
  }
  const read = reader(tensors);
  const id = modelId(tensors);
  for (const vector of folder.vectors) {
    test(`${folder.name}/${vector.name}: ${vector.what}`, () => {
      const data = file(folder.name, `${vector.name}.osd`);
      assert.equal(unpack(data, undefined, folder.partial).modelId, id);
      assert.equal(createHash("sha256").update(read(data, folder.partial)).digest("hex"), vector.symbols);
    });
  }
  for (const vector of folder.refused ?? []) {
    test(`${folder.name}/${vector.name} is refused: ${vector.what}`, () => {
      assert.throws(() => read(file(folder.name, `${vector.name}.osd`), folder.partial), FormatError);
    });
  }
}
