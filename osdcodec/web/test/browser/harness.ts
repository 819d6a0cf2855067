// What the tests run inside the page: the library's parts, on files that the server has.

import { hex } from "../../src/container";
import { readSafetensors } from "../../src/safetensors";
import { reader } from "../reader";

export { Client } from "../../src/client";
export { seesGpu } from "../../src/gpu";

const readers = new Map<string, ReturnType<typeof reader>>();

async function bytes(name: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetch(name)).arrayBuffer());
}

/** The digest of the symbols of a file, or the name of the error that it is refused with. */
export async function digest(weights: string, file: string | number[], partial = false): Promise<string> {
  if (!readers.has(weights)) readers.set(weights, reader(readSafetensors(await bytes(weights))));
  const data = typeof file === "string" ? await bytes(file) : Uint8Array.from(file);
  try {
    const input = readers.get(weights)!(data, partial) as Uint8Array<ArrayBuffer>;
    return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", input)));
  } catch (error) {
    return (error as Error).name;
  }
}
