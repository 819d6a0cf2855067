// What the tests run inside the page: the library's parts, on files that the server has.

import { qualities, unpack } from "../../src/container";
import { Prior, digestInput } from "../../src/prior";
import { readSafetensors } from "../../src/safetensors";
import { hex } from "../../src/container";

export { Client } from "../../src/client";

const priors = new Map<string, Prior>();

async function bytes(name: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetch(name)).arrayBuffer());
}

/** The digest of the symbols of a file, or the name of the error that it is refused with. */
export async function digest(weights: string, file: string | number[], partial = false): Promise<string> {
  if (!priors.has(weights)) priors.set(weights, new Prior(readSafetensors(await bytes(weights))));
  const prior = priors.get(weights)!;
  const data = typeof file === "string" ? await bytes(file) : Uint8Array.from(file);
  try {
    const osd = unpack(data, undefined, partial);
    const symbols = prior.decode(osd, qualities(osd, prior.stride, ...prior.size(osd)));
    const input = digestInput(symbols) as Uint8Array<ArrayBuffer>;
    return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", input)));
  } catch (error) {
    return (error as Error).name;
  }
}
