// Pictures to compare.

import { PNG } from "pngjs";

export interface Pixels {
  width: number;
  height: number;
  data: ArrayLike<number>; // RGBA
}

export function readPng(data: Uint8Array): Pixels {
  return PNG.sync.read(Buffer.from(data));
}

/** Root of the mean squared difference and largest difference of the colours. */
export function distance(a: Pixels, b: Pixels): { rmse: number; peak: number } {
  if (a.width !== b.width || a.height !== b.height) return { rmse: Infinity, peak: 255 };
  let [sum, peak] = [0, 0];
  for (let i = 0; i < a.data.length; i++) {
    if (i % 4 === 3) continue;
    const difference = Math.abs(a.data[i] - b.data[i]);
    sum += difference ** 2;
    peak = Math.max(peak, difference);
  }
  return { rmse: Math.sqrt(sum / (0.75 * a.data.length)), peak };
}
