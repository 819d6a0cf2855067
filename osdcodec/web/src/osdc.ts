// The library: decode(bytes, weights) -> ImageData, info(bytes). In pages `client.ts` does the same in a worker.
//
//   import { decode, info, loadWeights } from "./osdc.js";
//   const weights = await loadWeights(bytes, { sha256: "…" }); // what weights.toml lists
//   const image = await decode(file, weights, { detail: 1, seed: 0 });

import { decode as decodeWith, type Opening, type Options } from "./decoder";
import type { Networks } from "./networks";
import { openNetworks } from "./runtime";
import type { Model } from "./weights";

export { info, type Info } from "./container";
export { FormatError, OsdError, WeightsError } from "./errors";
export { Client, type Handle } from "./client";
export type { TrustMap } from "./trust";
export { loadWeights, type Model } from "./weights";

const networks = new WeakMap<Model, Promise<Networks>>(); // sessions stay open as long as the weights do

/** The bytes of an .osd file -> its picture. FormatError if it is damaged, WeightsError if it names another model. */
export async function decode(data: Uint8Array, weights: Model, options: Options & Opening = {}): Promise<ImageData> {
  if (!networks.has(weights)) networks.set(weights, openNetworks(weights));
  const { data: pixels, width, height } = await decodeWith(data, await networks.get(weights)!, options);
  return new ImageData(pixels as Uint8ClampedArray<ArrayBuffer>, width, height);
}
