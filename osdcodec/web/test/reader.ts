// The symbols of a file, whichever code its model has.

import { qualities, unpack } from "../src/container";
import { IndexCode } from "../src/indices";
import { Prior, digestInput } from "../src/prior";
import type { Tensors } from "../src/safetensors";

/** Tensors of a model -> (bytes of a file) -> what the digest is taken of. */
export function reader(tensors: Tensors): (data: Uint8Array, partial?: boolean) => Uint8Array {
  if (tensors.has("code.table")) {
    const code = new IndexCode(tensors);
    return (data) => digestInput(code.decode(unpack(data)));
  }
  const prior = new Prior(tensors);
  return (data, partial) => {
    const osd = unpack(data, undefined, partial);
    return digestInput(prior.decode(osd, qualities(osd, prior.stride, ...prior.size(osd))));
  };
}
