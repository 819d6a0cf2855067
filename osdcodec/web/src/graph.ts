// Graphs of ONNX and where their tensors lie, after spec/weights.md, "Graphs". Only as much of a graph is read as is changed.

import { WeightsError } from "./errors";
import { bytesField, contents, join, numberField, rewrite, texts } from "./protobuf";

// Field numbers of onnx.proto.
export const MODEL_GRAPH = 7;
export const GRAPH = { node: 1, initializer: 5, input: 11 };
export const VALUE_NAME = 1;
export const NODE = { input: 1, output: 2, kind: 4, attribute: 5 };
export const ATTRIBUTE = { name: 1, int: 3, ints: 8, type: 20 };
export const [INT, INTS] = [2, 7]; // types of attributes
export const TENSOR = { dims: 1, type: 2, name: 8, raw: 9, external: 13, location: 14 };
const ENTRY = { key: 1, value: 2 };
const [FLOAT, INT64] = [1, 7]; // types of tensors
const EXTERNAL = 1; // the location

/** Writes into a graph where each tensor of a file "weights" lies; lengths: their bytes, in the order of their places. */
export function placeTensors(model: Uint8Array, lengths: Map<string, number>): Uint8Array {
  const places = new Map<string, [number, number]>();
  let offset = 0;
  for (const [name, length] of lengths) {
    places.set(name, [offset, length]);
    offset += length;
  }
  return rewrite(model, MODEL_GRAPH, (graph) => [rewrite(graph, GRAPH.initializer, (tensor) => [place(tensor, places)])]);
}

function place(tensor: Uint8Array, places: Map<string, [number, number]>): Uint8Array {
  const found = places.get(texts(tensor, TENSOR.name)[0]);
  if (!found && !contents(tensor, TENSOR.external).length) return tensor; // it lies in the graph
  if (!found) throw new WeightsError(`a graph takes the tensor ${texts(tensor, TENSOR.name)[0]}, which it does not list`);
  const entry = (key: string, value: string) => bytesField(TENSOR.external, join([bytesField(ENTRY.key, key), bytesField(ENTRY.value, value)]));
  const said = [entry("location", "weights"), entry("offset", String(found[0])), entry("length", String(found[1])), numberField(TENSOR.location, EXTERNAL)];
  return join([rewrite(tensor, TENSOR.external, () => []), ...said]); // what it said of the place before no longer holds
}

/** A tensor of single precision that lies outside, where placeTensors will say. */
export function outside(name: string, shape: number[]): Uint8Array {
  return tensor(name, shape, FLOAT, []);
}

/** A list of whole numbers that lies in the graph. */
export function inside(name: string, values: number[]): Uint8Array {
  return tensor(name, [values.length], INT64, [bytesField(TENSOR.raw, new Uint8Array(BigInt64Array.from(values, BigInt).buffer))]);
}

function tensor(name: string, shape: number[], type: number, rest: Uint8Array[]): Uint8Array {
  return join([...shape.map((side) => numberField(TENSOR.dims, side)), numberField(TENSOR.type, type), bytesField(TENSOR.name, name), ...rest]);
}
