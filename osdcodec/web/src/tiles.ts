// Large pictures by tiles. An output of a network depends on the inputs within its reach only, so a tile with margins as wide
// holds the numbers of the whole, up to the rounding of floats; memory is that of one tile.

export interface Span {
  start: number; // the core, what the tile answers for
  stop: number;
  low: number; // and with its margins, what it sees
  high: number;
}

/**
 * 0 .. length in as few parts of nearly the same size as will do for none to see more than `most`; one where there are no
 * margins. An only part needs no margins, so a picture that fits is not cut: margins are computed twice.
 */
export function spans(length: number, most: number, margin?: number): Span[] {
  const reach = margin ?? 0;
  for (let parts = 1; ; parts++) {
    const size = Math.ceil(length / parts);
    const found = Array.from({ length: Math.ceil(length / size) }, (_, n) => {
      const [start, stop] = [n * size, Math.min((n + 1) * size, length)];
      return { start, stop, low: Math.max(0, start - reach), high: Math.min(length, stop + reach) };
    });
    if (margin === undefined || size === 1 || found.every(({ low, high }) => high - low <= most)) return found;
  }
}

/** Numbers of a picture: `channels` planes of rows x columns. */
export interface Grid {
  data: Float32Array;
  channels: number;
  rows: number;
  columns: number;
}

export function grid(channels: number, rows: number, columns: number, data: Float32Array = new Float32Array(channels * rows * columns)): Grid {
  return { data, channels, rows, columns };
}

/** What a tile sees of a grid that has `scale` values per position of the latent on a side. */
export function cut(whole: Grid, rows: Span, columns: Span, scale: number): Grid {
  const part = grid(whole.channels, (rows.high - rows.low) * scale, (columns.high - columns.low) * scale);
  if (part.rows === whole.rows && part.columns === whole.columns) return whole;
  copy(whole, rows.low * scale, columns.low * scale, part, 0, 0, part.rows, part.columns);
  return part;
}

/** The core of a tile's answer into its place. */
export function paste(whole: Grid, part: Grid, rows: Span, columns: Span, scale: number): void {
  const [top, left] = [rows.start - rows.low, columns.start - columns.low];
  const size = [(rows.stop - rows.start) * scale, (columns.stop - columns.start) * scale] as const;
  copy(part, top * scale, left * scale, whole, rows.start * scale, columns.start * scale, ...size);
}

function copy(from: Grid, top: number, left: number, to: Grid, toTop: number, toLeft: number, rows: number, columns: number): void {
  for (let c = 0; c < from.channels; c++) {
    for (let i = 0; i < rows; i++) {
      const start = (c * from.rows + top + i) * from.columns + left;
      to.data.set(from.data.subarray(start, start + columns), (c * to.rows + toTop + i) * to.columns + toLeft);
    }
  }
}
