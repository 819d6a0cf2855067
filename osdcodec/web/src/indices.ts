// A code of indices, after spec/osd-1.md, "Indices": the symbols only. What networks make of them, the package knows.

import type { Osd } from "./container";
import { FormatError, WeightsError } from "./errors";
import { Stack, Tables } from "./rans";
import { integers, type Tensors } from "./safetensors";

const LARGEST_PATCH = 16; // pixels, of which the grid covers whole ones

export class IndexCode {
  private readonly table: Tables;
  private readonly stride: number;
  private readonly quality: number;

  constructor(tensors: Tensors) {
    if ([...tensors.keys()].some((name) => name.startsWith("prior."))) throw new WeightsError("the weights have two codes, code.* and prior.*");
    const frequencies = integers(tensors, "code.table");
    this.table = new Tables(frequencies, 1, frequencies.length);
    this.stride = integers(tensors, "code.stride")[0];
    this.quality = integers(tensors, "code.quality")[0];
    if (!(this.stride >= 1) || (this.stride < LARGEST_PATCH && LARGEST_PATCH % this.stride)) throw new WeightsError("a stride that does not divide 16");
  }

  /** The indices, row by row. FormatError if the file is damaged or not of such a model. */
  decode(osd: Osd): Int32Array {
    if (osd.quality !== this.quality) throw new FormatError(`${osd.quality} is not that of its model, ${this.quality}`, "quality");
    if (osd.progressive || osd.regions) throw new FormatError("a code of indices has no progressive files and no regions", "flags", 4);
    const whole = Math.max(this.stride, LARGEST_PATCH);
    const [h, w] = [osd.height, osd.width].map((side) => (Math.ceil(side / whole) * whole) / this.stride);
    const stack = new Stack(osd.payload);
    const indices = new Int32Array(h * w);
    for (let at = 0; at < indices.length; at++) indices[at] = stack.pop(this.table, 0);
    stack.finish();
    return indices;
  }
}
