// Where the tensors of a graph lie, after spec/weights.md, "Graphs": an ONNX file is protobuf, and only the way down to its
// tensors is read here. Weights files written before graphs said it themselves, such as that of the conformance vectors, are
// completed by what follows from the order of the names.

import { WeightsError } from "./errors";

// Field numbers of onnx.proto.
const MODEL_GRAPH = 7;
const GRAPH_INITIALIZER = 5;
const TENSOR_NAME = 8;
const TENSOR_EXTERNAL_DATA = 13;
const ENTRY_KEY = 1;
const ENTRY_VALUE = 2;

/** lengths: bytes of each tensor that lies outside, in the order of their places. */
export function placeTensors(model: Uint8Array, lengths: Map<string, number>): Uint8Array {
  const places = new Map<string, [number, number]>();
  let offset = 0;
  for (const [name, length] of lengths) {
    places.set(name, [offset, length]);
    offset += length;
  }
  return rewrite(model, MODEL_GRAPH, (graph) => rewrite(graph, GRAPH_INITIALIZER, (tensor) => place(tensor, places)));
}

function place(tensor: Uint8Array, places: Map<string, [number, number]>): Uint8Array {
  const decoder = new TextDecoder();
  let name = "";
  const known = new Set<string>();
  for (const field of fields(tensor)) {
    if (field.number === TENSOR_NAME) name = decoder.decode(field.content);
    if (field.number !== TENSOR_EXTERNAL_DATA) continue;
    for (const entry of fields(field.content)) if (entry.number === ENTRY_KEY) known.add(decoder.decode(entry.content));
  }
  if (known.size === 0 || known.has("offset")) return tensor; // it lies in the graph, or says itself where
  const found = places.get(name);
  if (!found) throw new WeightsError(`a graph takes the tensor ${name}, which it does not list`);
  const entry = (key: string, value: number) =>
    chunk(TENSOR_EXTERNAL_DATA, join([chunk(ENTRY_KEY, encode(key)), chunk(ENTRY_VALUE, encode(String(value)))]));
  return join([tensor, entry("offset", found[0]), entry("length", found[1])]);
}

interface Field {
  number: number;
  start: number;
  end: number;
  content: Uint8Array; // empty if it is a number
}

function* fields(message: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= message.length) throw new WeightsError("a graph is cut short");
      const byte = message[at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const start = at;
    const tag = varint();
    const kind = tag & 7;
    let content = new Uint8Array(0);
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = varint();
      content = message.subarray(at, at + length) as Uint8Array<ArrayBuffer>;
      at += length;
    } else throw new WeightsError("a graph is damaged");
    yield { number: Math.floor(tag / 8), start, end: at, content };
  }
}

/** The message, each field of a number replaced by what `change` makes of it. */
function rewrite(message: Uint8Array, number: number, change: (content: Uint8Array) => Uint8Array): Uint8Array {
  const parts = [];
  for (const field of fields(message)) {
    parts.push(field.number === number ? chunk(number, change(field.content)) : message.subarray(field.start, field.end));
  }
  return join(parts);
}

function chunk(number: number, content: Uint8Array): Uint8Array {
  const head = [number * 8 + 2];
  let length = content.length;
  for (; length > 127; length = Math.floor(length / 128)) head.push((length % 128) + 128);
  return join([Uint8Array.from([...head, length]), content]);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function join(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
