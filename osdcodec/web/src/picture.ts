// A decoded picture.

/** RGBA of 8 bits, as ImageData has it. */
export interface Picture {
  width: number;
  height: number;
  data: Uint8ClampedArray;
}

/** An opaque white picture. */
export function blank(width: number, height: number): Picture {
  return { width, height, data: new Uint8ClampedArray(4 * width * height).fill(255) };
}
