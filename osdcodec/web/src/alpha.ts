// The pixels of section A. Container.ts has compared its size with that of the picture.

import { FormatError, OsdError } from "./errors";

/** Lossless WebP or grey PNG -> its values, width x height. FormatError if it is damaged. */
export async function decodeAlpha(content: Uint8Array, width: number, height: number): Promise<Uint8ClampedArray> {
  if (typeof createImageBitmap !== "function") throw new OsdError("alpha is decoded by browsers only");
  const type = content[0] === 0x52 ? "image/webp" : "image/png";
  try {
    const bitmap = await createImageBitmap(new Blob([content as Uint8Array<ArrayBuffer>], { type }), {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
    if (bitmap.width !== width || bitmap.height !== height) throw new RangeError("another size");
    const context = new OffscreenCanvas(width, height).getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return new Uint8ClampedArray(width * height).map((_, at) => data[4 * at + 1]);
  } catch (error) {
    throw new FormatError(`damaged (${(error as Error).message})`, "section A");
  }
}
