// The conformance vectors of spec/vectors, and the weights that decode them.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export const ROOT = process.cwd().replace(/\/osdcodec\/web\/?$/, ""); // npm runs scripts in the folder of package.json
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
  partial?: boolean; // beginnings of files are among them
  vectors: Vector[];
  refused?: Omit<Vector, "symbols">[];
  unusable?: boolean; // the weights themselves must be refused
  weights: string; // path
  pictures: boolean; // whether there are some, of networks that are known here
}

/** Every folder of vectors; one without weights of its own is decoded with those that the package embeds. */
export function folders(): Folder[] {
  return readdirSync(VECTORS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .filter((name) => readdirSync(join(VECTORS, name)).includes("vectors.json"))
    .map((name) => {
      const listed = JSON.parse(readFileSync(join(VECTORS, name, "vectors.json"), "utf8"));
      const folder = join(VECTORS, listed.weights ?? name);
      const own = readdirSync(folder).find((file) => file.endsWith(".safetensors"));
      const weights = own ? join(folder, own) : join(ROOT, "osdcodec/embedded", `${listed.profile}.safetensors`);
      return { ...listed, name, weights, pictures: listed.rmse !== undefined && listed.profile !== "cod-lite" };
    });
}

export function file(folder: string, name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(VECTORS, folder, name)));
}
