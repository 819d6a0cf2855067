// A picture -> PNG, with what its file holds beside the pixels. A canvas would multiply the colours with alpha, and drop a profile.

import { crc32 } from "./container";
import type { Picture } from "./picture";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** sections: as the container has them; i, e and x go into the PNG, A is in the pixels already. */
export async function encodePng(picture: Picture, sections: Map<string, Uint8Array>): Promise<Blob> {
  const { width, height, data } = picture;
  const channels = sections.has("A") ? 4 : 3;
  const rows = new Uint8Array(height * (channels * width + 1));
  for (let i = 0, at = 0; i < height; i++) {
    rows[at++] = 1; // filter Sub: differences to the pixel on the left
    for (let j = 0; j < width; j++) {
      const p = 4 * (i * width + j);
      for (let c = 0; c < channels; c++) rows[at++] = data[p + c] - (j ? data[p - 4 + c] : 0);
    }
  }
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, 8);
  head.setUint8(9, channels === 4 ? 6 : 2);
  const parts = [SIGNATURE, chunk("IHDR", new Uint8Array(head.buffer))];
  const [icc, exif, xmp] = ["i", "e", "x"].map((kind) => sections.get(kind));
  if (icc) parts.push(chunk("iCCP", text("ICC\0\0"), await deflate(icc)));
  if (exif) parts.push(chunk("eXIf", exif));
  if (xmp) parts.push(chunk("iTXt", text("XML:com.adobe.xmp\0\0\0\0\0"), xmp));
  parts.push(chunk("IDAT", await deflate(rows)), chunk("IEND"));
  return new Blob(parts as Uint8Array<ArrayBuffer>[], { type: "image/png" });
}

function chunk(kind: string, ...contents: Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, content) => sum + content.length, 0);
  const made = new Uint8Array(length + 12);
  const view = new DataView(made.buffer);
  view.setUint32(0, length);
  made.set(text(kind), 4);
  let at = 8;
  for (const content of contents) {
    made.set(content, at);
    at += content.length;
  }
  view.setUint32(at, crc32(made.subarray(4, at)));
  return made;
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

async function deflate(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
