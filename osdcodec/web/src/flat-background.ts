// Section p: flat backgrounds get the exact colours that the file names. After spec/osd-1.md, "Flat background".

import type { Colour } from "./container";
import type { Picture } from "./picture";

const SIDE = 16; // of the windows that have to be near a colour to the last pixel

/** Restores the flat background of a picture, in place. */
export function restore(picture: Picture, colours: Colour[]): void {
  const { width, height, data } = picture;
  const side = Math.min(SIDE, width, height);
  for (const [tolerance, red, green, blue] of colours) {
    const near = new Uint8Array(width * height).fill(1);
    for (const [channel, value] of [red, green, blue].entries()) {
      for (let p = 0, at = channel; p < near.length; p++, at += 4) {
        const off = data[at] - value;
        if (off > tolerance || off < -tolerance) near[p] = 0;
      }
    }
    const flat = windows(windows(near, width, 1, side, true), height, width, side, true); // by their upper left pixels
    const covered = windows(windows(flat, width, 1, side, false), height, width, side, false);
    for (let p = 0, at = 0; p < near.length; p++, at += 4) {
      if (!covered[p]) continue;
      data[at] = red;
      data[at + 1] = green;
      data[at + 2] = blue;
    }
  }
}

/**
 * Along lines of `length` flags that are `step` apart: whether all of the `side` flags from a place on are set, not beyond the line,
 * or else any of those up to it.
 */
function windows(flags: Uint8Array, length: number, step: number, side: number, all: boolean): Uint8Array {
  const made = new Uint8Array(flags.length);
  for (let line = 0; line < flags.length / length; line++) {
    const start = step === 1 ? line * length : line;
    for (let i = 0, sum = 0; i < length; i++) {
      sum += flags[start + i * step];
      if (i >= side) sum -= flags[start + (i - side) * step];
      if (!all) made[start + i * step] = Number(sum > 0);
      else if (i >= side - 1) made[start + (i - side + 1) * step] = Number(sum === side);
    }
  }
  return made;
}
