// Section p: colours of plain ground, laid over what came out nearly so. After spec/osd-1.md, "Plain ground".

import type { Colour } from "./container";
import type { Picture } from "./decoder";

const SIDE = 16; // of the windows that have to be near a colour to the last pixel

/** Lays the ground over the picture, in place. */
export function lay(picture: Picture, ground: Colour[]): void {
  const { width, height, data } = picture;
  const side = Math.min(SIDE, width, height);
  for (const [tolerance, ...colour] of ground) {
    const near = new Uint8Array(width * height);
    for (let p = 0; p < near.length; p++) {
      near[p] = Number(colour.every((value, c) => Math.abs(data[4 * p + c] - value) <= tolerance));
    }
    const plain = windows(windows(near, width, 1, side, true), height, width, side, true); // by their upper left pixels
    const covered = windows(windows(plain, width, 1, side, false), height, width, side, false);
    for (let p = 0; p < near.length; p++) if (covered[p]) data.set(colour, 4 * p);
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
