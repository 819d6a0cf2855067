// Protobuf messages, as far as an ONNX file needs them: fields that are numbers or bytes, read and written.

import { WeightsError } from "./errors";

export interface Field {
  number: number;
  start: number; // of its bytes in the message, and their end
  end: number;
  value: number; // 0 if it is no number
  content: Uint8Array; // empty if it is one
}

export function* fields(message: Uint8Array): Generator<Field> {
  for (let at = 0; at < message.length; ) {
    const start = at;
    let [tag, value, content] = [0, 0, new Uint8Array(0)];
    [tag, at] = readVarint(message, at);
    const kind = tag & 7;
    if (kind === 0) [value, at] = readVarint(message, at);
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      let length;
      [length, at] = readVarint(message, at);
      content = message.subarray(at, at + length) as Uint8Array<ArrayBuffer>;
      at += length;
    } else throw new WeightsError("a graph is damaged");
    yield { number: Math.floor(tag / 8), start, end: at, value, content };
  }
}

/** A number of 7 bits a byte, and where it ends. */
function readVarint(message: Uint8Array, at: number): [number, number] {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    if (at >= message.length) throw new WeightsError("a graph is cut short");
    const byte = message[at++];
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at];
  }
}

/** The contents of all fields of a number. */
export function contents(message: Uint8Array, number: number): Uint8Array[] {
  return [...fields(message)].filter((field) => field.number === number).map(({ content }) => content);
}

export function texts(message: Uint8Array, number: number): string[] {
  return contents(message, number).map((content) => new TextDecoder().decode(content));
}

/** The numbers of a repeated field, packed or not. */
export function numbers(message: Uint8Array, number: number): number[] {
  const found = [];
  for (const field of fields(message)) {
    if (field.number !== number) continue;
    if (!field.content.length) found.push(field.value);
    else for (let at = 0; at < field.content.length; ) {
      const [value, end] = readVarint(field.content, at);
      found.push(value);
      at = end;
    }
  }
  return found;
}

/** The message, each field of a number replaced by what `change` makes of it, which may be nothing or several. */
export function rewrite(message: Uint8Array, number: number, change: (content: Uint8Array) => Uint8Array[]): Uint8Array {
  const parts = [];
  for (const field of fields(message)) {
    if (field.number !== number) parts.push(message.subarray(field.start, field.end));
    else parts.push(...change(field.content).map((content) => bytesField(number, content)));
  }
  return join(parts);
}

/** A field of bytes, of text, or of a message. */
export function bytesField(number: number, content: Uint8Array | string): Uint8Array {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return join([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

export function numberField(number: number, value: number): Uint8Array {
  return join([varint(number * 8), varint(value)]);
}

function varint(value: number): Uint8Array {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Uint8Array.from([...bytes, value]);
}

export function join(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
