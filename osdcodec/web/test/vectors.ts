// The conformance vectors of spec/vectors, and the weights that decode them.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(process.env.OSDC_ROOT ?? join(import.meta.dirname, "../../../../.."));
export const VECTORS = join(ROOT, "spec/vectors");

export interface Vector {
  name: string;
  what: string;
  symbols: string;
}

export interface Folder {
  name: string;
  profile: string;
  rmse?: number; // of the pixels; none where there are no pictures
  peak?: number;
  vectors: Vector[];
  refused?: Omit<Vector, "symbols">[];
  weights: string; // path
}

/** Every folder of vectors; one without weights of its own is decoded with those that the package embeds. */
export function folders(): Folder[] {
  return readdirSync(VECTORS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .filter((name) => readdirSync(join(VECTORS, name)).includes("vectors.json"))
    .map((name) => {
      const listed = JSON.parse(readFileSync(join(VECTORS, name, "vectors.json"), "utf8"));
      const own = readdirSync(join(VECTORS, name)).find((file) => file.endsWith(".safetensors"));
      const weights = own ? join(VECTORS, name, own) : join(ROOT, "osdcodec/embedded", `${listed.profile}.safetensors`);
      return { name, weights, ...listed };
    });
}

export function file(folder: string, name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(VECTORS, folder, name)));
}
