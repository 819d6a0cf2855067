// The .osd file, version 1: bytes -> fields, after spec/osd-1.md, "File" to "Flat background".

import { FormatError } from "./errors";

export const MAX_PIXELS = 2 ** 28; // a file of 30 bytes can claim a picture of 12 GB
const SMALLEST = 16;
const [SECTIONS, PROGRESSIVE, GREY] = [1, 2, 4]; // flags
const MAX_SIDE = 65535;
const UNIT = 32; // pixels, of the boxes of regions
const MOST_BOXES = 255;
const MOST_COLOURS = 8; // of the flat background

/** Left, top, width, height, in units of 32 pixels. */
export type Box = [number, number, number, number];

/** Of the flat background: the largest difference that is restored, then red, green, blue. */
export type Colour = [number, number, number, number];

export interface Osd {
  version: number;
  modelId: string; // eight hexadecimal digits
  width: number;
  height: number;
  quality: number; // q, 0 .. 255
  payload: Uint8Array; // of a progressive file too with the bottom of the stack first
  missing: number; // bytes in front of it that have not arrived
  progressive: boolean;
  grey: boolean;
  sections: Map<string, Uint8Array>;
  original?: [number, number]; // width and height before the picture was shrunk
  regions?: { quality: number; boxes: Box[] };
  flatColours?: Colour[];
}

/**
 * FormatError, with field and offset, at the first defect. The size is judged before anything that costs time.
 * partial: the beginning of a progressive file will do; nothing behind its payload is looked at.
 */
export function unpack(data: Uint8Array, maxPixels = MAX_PIXELS, partial = false): Osd {
  if (data.length === 0) throw new FormatError("empty file", "magic", 0);
  if (!begins(data, [0x8f, 0x4f, 0x53, 0x44])) throw new FormatError("not an .osd file", "magic", 0);
  if (data.length < SMALLEST) throw new FormatError(`cut short: ${data.length} bytes`, "file", data.length);
  const version = data[4] >> 4;
  const flags = data[4] & 15;
  if (version !== 1) throw new FormatError(`version ${version} is not known here, only 1`, "version", 4);
  if (flags & ~(SECTIONS | PROGRESSIVE | GREY)) {
    throw new FormatError(`reserved bits are set (${flags}): damaged, or made by a newer osdc`, "flags", 4);
  }
  const whole = u32(data, data.length - 4) === crc32(data.subarray(0, data.length - 4));
  const cut = partial && !whole && (flags & PROGRESSIVE) > 0;
  const end = cut ? data.length : data.length - 4;
  const cursor = new Cursor(data, 9, end);
  const [width, height] = ["width", "height"].map((name) => {
    const offset = cursor.at;
    const side = cursor.leb128(name);
    if (side < 1 || side > MAX_SIDE) throw new FormatError(`${side} is not between 1 and ${MAX_SIDE}`, name, offset);
    return side;
  });
  if (width * height > maxPixels) throw new FormatError(`${width}x${height} is more than ${maxPixels} pixels`, "size", 9);
  if (!whole && !cut) throw new FormatError("does not match: the file is damaged or cut short", "checksum", end);
  const osd: Osd = {
    version, width, height,
    modelId: hex(data.subarray(5, 9)),
    quality: cursor.take(1, "quality")[0],
    payload: new Uint8Array(0),
    missing: 0,
    progressive: (flags & PROGRESSIVE) > 0,
    grey: (flags & GREY) > 0,
    sections: new Map(),
  };
  if (osd.progressive) readProgressive(cursor, osd, flags, cut);
  else osd.payload = cursor.take(flags & SECTIONS ? cursor.leb128("payload length") : cursor.left, "payload");
  if (osd.payload.at(-1) === 0) throw new FormatError("a zero byte at the top of its stack, which a writer strips", "payload");
  if (flags & SECTIONS && !osd.progressive) readSections(cursor, osd, /^[A-Za-z]$/);
  if (flags & SECTIONS && !cut && !osd.sections.size) throw new FormatError("sections are announced, none is there", "flags", 4);
  return osd;
}

/** What a reader must understand stands before the payload, which begins with the top of its stack. */
function readProgressive(cursor: Cursor, osd: Osd, flags: number, cut: boolean): void {
  const { data } = cursor;
  const length = cursor.leb128("payload length");
  const before = flags & SECTIONS ? cursor.leb128("length of the upper-case sections") : 0;
  const start = cursor.at;
  cursor.take(before, "upper-case sections");
  const behind = cursor.at;
  const checksum = cursor.take(2, "head checksum");
  if ((checksum[0] | (checksum[1] << 8)) !== crc16(data.subarray(0, behind))) {
    throw new FormatError("does not match: the head of the file is damaged", "head checksum", behind);
  }
  readSections(new Cursor(data, start, behind), osd, /^[A-Z]$/);
  osd.missing = cut ? Math.max(0, length - cursor.left) : 0;
  osd.payload = cursor.take(length - osd.missing, "payload").slice().reverse();
  if (cut) return;
  if (flags & SECTIONS) readSections(cursor, osd, /^[a-z]$/);
  else if (cursor.left) throw new FormatError(`${cursor.left} bytes more than its length says`, "payload", cursor.at);
}

function readSections(cursor: Cursor, osd: Osd, kinds: RegExp): void {
  while (cursor.left > 0) {
    const offset = cursor.at;
    const kind = String.fromCharCode(cursor.take(1, "section type")[0]);
    if (!kinds.test(kind)) throw new FormatError("not a letter that may stand here", "section type", offset);
    if (/^[B-FH-Z]$/.test(kind)) {
      throw new FormatError(`section ${kind} must be understood and is not`, "section type", offset);
    }
    if (osd.sections.has(kind)) throw new FormatError(`a second section ${kind}`, "section type", offset);
    const length = cursor.leb128(`length of section ${kind}`);
    const start = cursor.at;
    const content = cursor.take(length, `section ${kind}`);
    osd.sections.set(kind, content);
    if (kind === "A") checkAlpha(content, osd, start);
    if (kind === "G") osd.regions = readRegions(content, osd, start);
    if (kind === "p") osd.flatColours = readFlatColours(content, start);
    if (kind === "o") osd.original = readOriginalSize(content, osd, start);
  }
}

/** Section o: the size of the picture before it was shrunk, no smaller on either side and larger on one. */
function readOriginalSize(content: Uint8Array, osd: Osd, offset: number): [number, number] {
  const cursor = new Cursor(content, 0, content.length);
  const [width, height] = [cursor.leb128("section o"), cursor.leb128("section o")];
  const larger = width >= osd.width && height >= osd.height && (width > osd.width || height > osd.height);
  if (cursor.left > 0 || !larger || Math.max(width, height) > MAX_SIDE) {
    throw new FormatError(`not the size of an original of a picture of ${osd.width}x${osd.height}`, "section o", offset);
  }
  return [width, height];
}

/** Section A must say by its own header that it is as large as the picture, before any pixel of it is decoded. */
function checkAlpha(content: Uint8Array, osd: Osd, offset: number): void {
  const size = alphaSize(content);
  if (!size) throw new FormatError("neither a lossless WebP nor a grey PNG of 8 bits", "section A", offset);
  if (size[0] !== osd.width || size[1] !== osd.height) {
    throw new FormatError(`alpha of ${size.join("x")} for a picture of ${osd.width}x${osd.height}`, "section A", offset);
  }
}

function alphaSize(content: Uint8Array): [number, number] | undefined {
  const webp = ascii(content, 0, 4) === "RIFF" && ascii(content, 8, 8) === "WEBPVP8L" && content.length >= 25;
  if (webp && content[20] === 0x2f) {
    const [chunk, sides] = [u32(content, 16), u32(content, 21)];
    const whole = content.length === 8 + u32(content, 4) && content.length === 20 + chunk + (chunk % 2);
    if (whole && sides < 2 ** 28) return [(sides & 0x3fff) + 1, (sides >>> 14) + 1];
  }
  const png = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52];
  if (begins(content, png) && content.length >= 29 && begins(content.subarray(24), [8, 0, 0, 0, 0])) {
    const view = new DataView(content.buffer, content.byteOffset);
    return [view.getUint32(16), view.getUint32(20)];
  }
  return undefined;
}

function readRegions(content: Uint8Array, osd: Osd, offset: number): { quality: number; boxes: Box[] } {
  const refuse = (what: string) => new FormatError(what, "section G", offset);
  const cursor = new Cursor(content, 0, content.length);
  if (content.length === 0 || content[0] >= osd.quality) throw refuse("its quality is missing, or no better than the picture's");
  const quality = cursor.take(1, "section G")[0];
  const boxes: Box[] = [];
  while (cursor.left > 0) {
    const box = [0, 0, 0, 0].map(() => cursor.leb128("section G")) as Box;
    const [left, top, width, height] = box;
    const [columns, rows] = [Math.ceil(osd.width / UNIT), Math.ceil(osd.height / UNIT)];
    if (width < 1 || height < 1 || left + width > columns || top + height > rows) throw refuse(`a box ${box} is not in the picture`);
    if (boxes.length && compare(boxes[boxes.length - 1], box) >= 0) throw refuse("its boxes are not in ascending order");
    boxes.push(box);
  }
  if (boxes.length < 1 || boxes.length > MOST_BOXES) throw refuse(`${boxes.length} boxes`);
  return { quality, boxes };
}

function readFlatColours(content: Uint8Array, offset: number): Colour[] {
  const refuse = (what: string) => new FormatError(what, "section p", offset);
  const colours = Array.from({ length: Math.ceil(content.length / 4) }, (_, i) => [...content.subarray(4 * i, 4 * i + 4)] as Colour);
  if (content.length % 4 || colours.length < 1 || colours.length > MOST_COLOURS) throw refuse(`${content.length} bytes of colours`);
  for (const [i, one] of colours.entries()) {
    for (const other of colours.slice(0, i)) {
      const apart = Math.max(...[1, 2, 3].map((c) => Math.abs(one[c] - other[c])));
      if (apart <= one[0] + other[0]) throw refuse("two of its colours lie so near to each other that one pixel may be of both");
    }
  }
  return colours;
}

function compare(a: Box, b: Box): number {
  const i = a.findIndex((value, index) => value !== b[index]);
  return i < 0 ? 0 : a[i] - b[i];
}

/** Quality of each of rows x columns positions of `stride` pixels; undefined where all have that of the picture. */
export function qualities(osd: Osd, stride: number, rows: number, columns: number): Uint8Array | undefined {
  if (!osd.regions) return undefined;
  const grid = new Uint8Array(rows * columns).fill(osd.quality);
  for (const [left, top, width, height] of osd.regions.boxes) {
    const right = Math.min(columns, Math.ceil(((left + width) * UNIT) / stride));
    const bottom = Math.min(rows, Math.ceil(((top + height) * UNIT) / stride));
    for (let i = Math.floor((top * UNIT) / stride); i < bottom; i++) {
      grid.fill(osd.regions.quality, i * columns + Math.floor((left * UNIT) / stride), i * columns + right);
    }
  }
  return grid;
}

export interface Info {
  version: number;
  width: number;
  height: number;
  bytes: number;
  bpp: number;
  quality: number;
  lambda: number;
  modelId: string;
  payloadBytes: number;
  missingBytes: number; // of the payload, in a beginning of a file
  progressive: boolean;
  grey: boolean;
  sections: Record<string, number>; // bytes of content by letter
}

/** What a file says of itself; no weights are needed. */
export function info(data: Uint8Array, maxPixels = MAX_PIXELS, partial = false): Info {
  const osd = unpack(data, maxPixels, partial);
  return {
    version: osd.version,
    width: osd.width,
    height: osd.height,
    bytes: data.length,
    bpp: (8 * data.length) / (osd.width * osd.height),
    quality: osd.quality,
    lambda: 0.1 * 20 ** (osd.quality / 255),
    modelId: osd.modelId,
    payloadBytes: osd.payload.length,
    missingBytes: osd.missing,
    progressive: osd.progressive,
    grey: osd.grey,
    sections: Object.fromEntries([...osd.sections].map(([kind, content]) => [kind, content.length])),
  };
}

class Cursor {
  constructor(
    readonly data: Uint8Array,
    public at: number,
    readonly end: number,
  ) {}

  get left(): number {
    return this.end - this.at;
  }

  take(length: number, field: string): Uint8Array {
    if (length > this.left) throw new FormatError(`${length} bytes announced, ${this.left} left`, field, this.at);
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  /** At most five bytes, in the shortest form: up to 2^35, so sums and not shifts. */
  leb128(field: string): number {
    const start = this.at;
    let value = 0;
    for (let i = 0; i < 5; i++) {
      if (this.at >= this.end) throw new FormatError("cut short", field, start);
      const byte = this.data[this.at++];
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw new FormatError("not in the shortest form", field, start);
        return value;
      }
    }
    throw new FormatError("longer than 5 bytes", field, start);
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

export function crc32(data: Uint8Array): number {
  let crc = ~0;
  for (let i = 0; i < data.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ data[i]) & 255];
  return ~crc >>> 0;
}

/** CRC-16/IBM-3740 */
function crc16(data: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of data) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
  }
  return crc;
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function u32(data: Uint8Array, at: number): number {
  return (data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24)) >>> 0;
}

function ascii(data: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...data.subarray(at, at + length));
}

function begins(data: Uint8Array, bytes: number[]): boolean {
  return bytes.every((byte, i) => data[i] === byte);
}
