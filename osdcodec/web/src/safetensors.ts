// The weights file, after spec/osd-1.md, "Tensors" and "Model id".

import { sha256 } from "@noble/hashes/sha2.js";
import { hex } from "./container";
import { WeightsError } from "./errors";

export interface Tensor {
  dtype: string; // F32, F16, I32, I16, U8
  shape: number[];
  bytes: Uint8Array; // as they stand in the file
}

export type Tensors = Map<string, Tensor>;

const SIZES: Record<string, number> = { F32: 4, I32: 4, F16: 2, I16: 2, I8: 1, U8: 1 };

/** The bytes of a safetensors file -> its tensors, which stay where they are. */
export function readSafetensors(data: Uint8Array): Tensors {
  try {
    const [header, start] = readHeader(data);
    const tensors: Tensors = new Map();
    for (const [name, entry] of Object.entries<any>(header)) {
      if (name === "__metadata__") continue;
      const [first, last] = entry.data_offsets;
      if (!(0 <= first && first <= last && start + last <= data.length)) throw new RangeError(name);
      const size = entry.shape.reduce((product: number, side: number) => product * side, SIZES[entry.dtype]);
      if (entry.dtype in SIZES && (size !== last - first || !entry.shape.every((side: number) => side >= 0))) throw new RangeError(name);
      tensors.set(name, { dtype: entry.dtype, shape: entry.shape, bytes: data.subarray(start + first, start + last) });
    }
    return tensors;
  } catch (error) {
    throw new WeightsError(`the weights are not a safetensors file (${(error as Error).message})`);
  }
}

/** What a safetensors file says of itself, beside its tensors. */
export function readMetadata(data: Uint8Array): Record<string, string> {
  return readHeader(data)[0].__metadata__ ?? {};
}

/** The header, and where the values begin. */
function readHeader(data: Uint8Array): [any, number] {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const start = 8 + Number(view.getBigUint64(0, true));
  return [JSON.parse(new TextDecoder().decode(data.subarray(8, start))), start];
}

export function tensor(tensors: Tensors, name: string): Tensor {
  const found = tensors.get(name);
  if (!found) throw new WeightsError(`the weights lack the tensor ${name}`);
  return found;
}

/** A tensor of whole numbers, or of floating-point ones, as numbers. Values need not lie at multiples of their size. */
export function integers(tensors: Tensors, name: string): Int32Array {
  const { dtype, bytes } = tensor(tensors, name);
  const aligned = bytes.slice().buffer;
  if (dtype === "I32") return new Int32Array(aligned);
  if (dtype === "I16") return Int32Array.from(new Int16Array(aligned));
  throw new WeightsError(`the tensor ${name} is of type ${dtype}, not of whole numbers`);
}

export function floats({ dtype, bytes }: Tensor): Float32Array {
  const aligned = bytes.slice().buffer;
  if (dtype === "F32") return new Float32Array(aligned);
  if (dtype === "F16") return Float32Array.from(new Uint16Array(aligned), half);
  throw new WeightsError(`a tensor is of type ${dtype}, not of floating-point numbers`);
}

function half(bits: number): number {
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  const magnitude =
    exponent === 0 ? fraction * 2 ** -24 : exponent < 31 ? (1024 + fraction) * 2 ** (exponent - 25) : fraction ? NaN : Infinity;
  return bits & 0x8000 ? -magnitude : magnitude;
}

/** Eight hexadecimal digits over the tensors that fix the symbols. */
export function modelId(tensors: Tensors): string {
  const ofIndices = tensors.has("code.table");
  const normative = [...tensors].filter(([name]) => (ofIndices ? /^code\./ : /^(prior|gains)\./).test(name));
  if (!ofIndices) normative.push(["codebook", tensor(tensors, "semantics.codebook")]);
  const base = ofIndices ? undefined : tensors.get("base.codebook");
  if (base) normative.push(["base.codebook", base]);
  const digest = sha256.create();
  for (const [name, { dtype, shape, bytes }] of normative.sort(([a], [b]) => (a < b ? -1 : 1))) {
    digest.update(new TextEncoder().encode(`${name}\0${dtype}\0${shape.join(",")}\0`)).update(bytes);
  }
  return hex(digest.digest().subarray(0, 4));
}
