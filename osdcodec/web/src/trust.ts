// What is invented: the map of trust, after osdcodec/trust. Of what a decoder knows when it has decoded a picture, a small network
// makes the expected error of each place of 16x16 pixels.

import type { Picture } from "./picture";
import { UNSEEN, type Prior, type Symbols } from "./prior";
import { cut, grid, paste, spans, type Grid } from "./tiles";

export const CELL = 16; // pixels of a side of a place
const OPEN = 0.35; // standard deviation, in steps, of what a coded symbol leaves open at most
const [MOST, MARGIN] = [80, 8]; // of a tile, in positions of the latent

/** Root mean squares in levels of 255, and the correlation of texture, 0 .. 1; row by row. */
export interface TrustMap {
  rows: number;
  columns: number;
  width: number; // of the picture
  height: number;
  luma: Float32Array;
  chroma: Float32Array;
  texture: Float32Array;
}

/** What is known of a picture beside its pixels. */
export interface Known {
  symbols: Symbols;
  quality: number;
  map?: Uint8Array; // quality of each position, where they differ
  detail: number;
  coarse: Grid; // the latent of --detail 0
  denoised: Grid; // of --detail 1, or again the coarse one where the denoiser did not run
  grey: boolean;
}

export type Ask = (inputs: Record<string, Grid>) => Promise<Grid>;

/** The map of a decoded picture; ask: runs the network. */
export async function expect(picture: Picture, known: Known, prior: Prior, ask: Ask): Promise<TrustMap> {
  const { symbols, coarse, denoised } = known;
  const fine = coarse.rows / symbols.rows;
  const { spread, activity, setting } = facts(known, prior, fine);
  const found = grid(3, coarse.rows, coarse.columns);
  for (const rows of spans(symbols.rows, MOST, MARGIN)) {
    for (const columns of spans(symbols.columns, MOST, MARGIN)) {
      const seen = (whole: Grid, scale: number) => cut(whole, rows, columns, scale);
      const part = await ask({
        picture: pixels(picture, prior.stride, rows, columns),
        z_c: seen(coarse, fine),
        z_hat: seen(denoised, fine),
        spread: seen(spread, 1),
        activity: seen(activity, 1),
        setting: seen(setting, fine),
      });
      paste(found, part, rows, columns, fine);
    }
  }
  const { width, height } = picture;
  const [h, w] = [Math.ceil(height / CELL), Math.ceil(width / CELL)];
  const plane = (c: number, of: (value: number) => number) =>
    Float32Array.from({ length: h * w }, (_, at) => of(found.data[(c * found.rows + Math.floor(at / w)) * found.columns + (at % w)]));
  const chroma = known.grey ? new Float32Array(h * w) : plane(1, Math.sqrt);
  return { rows: h, columns: w, width, height, luma: plane(0, Math.sqrt), chroma, texture: plane(2, (value) => Math.min(Math.max(value, 0), 1)) };
}

/** spread: log2 of the deviation that the file leaves open; activity: log2 of 1 + |symbol|; setting: quality, detail, not a preview. */
export function facts({ symbols, quality, map, detail }: Known, prior: Prior, fine: number): Record<"spread" | "activity" | "setting", Grid> {
  const { rows, columns, latent, tables } = symbols;
  const size = rows * columns;
  const deviations = prior.deviations();
  const gains = new Map<number, Float32Array>();
  const inverse = (at: number) => {
    const q = map ? map[at % size] : quality;
    if (!gains.has(q)) gains.set(q, prior.inverseGains(q));
    return gains.get(q)![Math.floor(at / size)];
  };
  const spread = Float32Array.from(tables, (row, at) => {
    const expected = deviations[row & (UNSEEN - 1)];
    const left = row & UNSEEN ? expected : 1 / Math.sqrt(1 / expected ** 2 + 1 / OPEN ** 2);
    return Math.log2(left * inverse(at));
  });
  const setting = grid(3, rows * fine, columns * fine);
  for (let i = 0, at = 0; i < setting.rows; i++) {
    for (let j = 0; j < setting.columns; j++, at++) {
      setting.data[at] = (map ? map[Math.floor(i / fine) * columns + Math.floor(j / fine)] : quality) / 255;
    }
  }
  setting.data.fill(detail, setting.rows * setting.columns, 2 * setting.rows * setting.columns);
  const activity = Float32Array.from(latent, (symbol) => Math.log2(1 + Math.abs(symbol)));
  return { spread: grid(prior.latentChannels, rows, columns, spread), activity: grid(prior.latentChannels, rows, columns, activity), setting };
}

type Reach = { low: number; high: number };

/** What a tile sees of the picture, in [-1, 1], mirrored beyond its lower and right edge. */
function pixels({ width, height, data }: Picture, stride: number, rows: Reach, columns: Reach): Grid {
  const part = grid(3, (rows.high - rows.low) * stride, (columns.high - columns.low) * stride);
  const mirrored = (at: number, start: number, end: number) => {
    const last = end - 1 - start; // a tile is mirrored by itself, and again where it is narrower than what is missing
    if (last === 0) return start;
    const place = (at - start) % (2 * last);
    return start + (place > last ? 2 * last - place : place);
  };
  const [top, left] = [rows.low * stride, columns.low * stride];
  const [bottom, right] = [Math.min(rows.high * stride, height), Math.min(columns.high * stride, width)];
  for (let i = 0; i < part.rows; i++) {
    const y = mirrored(top + i, top, bottom);
    for (let j = 0; j < part.columns; j++) {
      const from = 4 * (y * width + mirrored(left + j, left, right));
      for (let c = 0; c < 3; c++) part.data[(c * part.rows + i) * part.columns + j] = Math.fround(data[from + c] / 127.5) - 1;
    }
  }
  return part;
}

// Every 16th colour of viridis (Smith and van der Walt, 2015), and the last.
export const VIRIDIS = [
  [68, 1, 84], [72, 24, 106], [71, 45, 123], [66, 64, 134], [59, 82, 139], [51, 99, 141],
  [44, 114, 142], [38, 130, 142], [33, 145, 140], [31, 160, 136], [40, 174, 128], [63, 188, 115],
  [94, 201, 98], [132, 212, 75], [173, 220, 48], [216, 226, 25], [253, 231, 37],
]; // prettier-ignore
export const TICKS = [2, 4, 8, 16, 32, 48]; // levels: colours begin at the first, end at the last, and follow the logarithm
const COLOUR = 0.72; // share of the colour; the rest is the grey of the picture

/** Where between the first colour, 0, and the last, 1, an error in levels stands. */
export function share(levels: number): number {
  const [least, most] = [TICKS[0], TICKS[TICKS.length - 1]];
  return Math.min(Math.max(Math.log(levels / least) / Math.log(most / least), 0), 1);
}

/** The picture in grey with the colours of its expected errors over it; alpha stays. */
export function tinted({ width, height, data }: Picture, map: TrustMap): Picture {
  const shares = map.luma.map((levels) => share(Math.max(levels, 1e-6)));
  const found = new Uint8ClampedArray(data.length);
  // Pixel centres of the places, between which colours are mixed.
  const between = (at: number, count: number) => {
    const place = Math.min(Math.max((at + 0.5) / CELL - 0.5, 0), count - 1);
    const first = Math.min(Math.floor(place), Math.max(count - 2, 0));
    return [first, Math.min(first + 1, count - 1), place - first];
  };
  for (let i = 0, at = 0; i < height; i++) {
    const [above, below, down] = between(i, map.rows);
    for (let j = 0; j < width; j++, at += 4) {
      const [left, right, across] = between(j, map.columns);
      const row = (r: number) => (1 - across) * shares[r * map.columns + left] + across * shares[r * map.columns + right];
      const place = ((1 - down) * row(above) + down * row(below)) * (VIRIDIS.length - 1);
      const first = Math.min(Math.floor(place), VIRIDIS.length - 2);
      const grey = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
      for (let c = 0; c < 3; c++) {
        const colour = VIRIDIS[first][c] + (place - first) * (VIRIDIS[first + 1][c] - VIRIDIS[first][c]);
        found[at + c] = (1 - COLOUR) * grey + COLOUR * colour;
      }
      found[at + 3] = data[at + 3];
    }
  }
  return { width, height, data: found };
}
