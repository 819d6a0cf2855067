// The integer prior, after spec/osd-1.md, "Order of the symbols" and "Integer prior". Grids lie position by position, (rows,
// columns, channels); what leaves has its channels first.

import type { Osd } from "./container";
import { FormatError, WeightsError } from "./errors";
import { Layer } from "./layer";
import { Stack, Tables } from "./rans";
import { floats, integers, tensor, type Tensors } from "./safetensors";

const PHASES = [0, 3, 1, 2]; // of the quarter 0 in each group
const PROGRESSIVE_PASSES = [36, 28, 20, 14, 0]; // least row of the tables
const ANCHORS = [255, 196, 137, 78, 0]; // qualities of the rows of the gains
const KNOWN = /^prior\.((token_)?tables|stride|base_(table|factor)|(hyper_scale\.[01]|hyper_synthesis\.[012]|context\.[0-3]\.([01]|mean|scale))\.(weight|bias|rescale))$/;
const HYPER_FACTOR = 4;
export const UNSEEN = 128; // of the tables of symbols that have not arrived

export interface Symbols {
  tokens: Int32Array; // (K)
  base: Int32Array; // (hb, wb) codes, of models that have such
  hyper: Int32Array; // (C_h, hh, hw)
  latent: Int32Array; // (C_y, h, w)
  y16: Int32Array; // (C_y, h, w), the reconstructed latent in sixteenths
  tables: Uint8Array; // (C_y, h, w), row of the table of each latent, plus UNSEEN where it has not arrived
  rows: number; // h
  columns: number; // w
}

/** (rows, columns, 4 C) -> (2 rows, 2 columns, C) */
function shuffle(x: Float64Array, rows: number, columns: number): Float64Array {
  const channels = x.length / (rows * columns) / 4;
  const y = new Float64Array(x.length);
  for (let i = 0; i < 2 * rows; i++) {
    for (let j = 0; j < 2 * columns; j++) {
      const from = ((i >> 1) * columns + (j >> 1)) * 4 * channels + 2 * (i & 1) + (j & 1);
      const to = (i * 2 * columns + j) * channels;
      for (let c = 0; c < channels; c++) y[to + c] = x[from + 4 * c];
    }
  }
  return y;
}

export class Prior {
  readonly stride: number;
  readonly latentChannels: number; // C_y
  readonly hyperChannels: number; // C_h
  private readonly limit: number; // L
  private readonly tables: Tables;
  private readonly tokenTables: Tables;
  private readonly base?: { table: Tables; factor: number };
  private readonly hyperScale: Layer[];
  private readonly hyperSynthesis: Layer[];
  private readonly context: Record<"first" | "second" | "mean" | "scale", Layer>[];
  private readonly inverse: Float32Array; // (5, C_y)

  constructor(tensors: Tensors) {
    const unknown = [...tensors.keys()].find((name) => name.startsWith("prior.") && !KNOWN.test(name));
    if (unknown) throw new WeightsError(`the weights have the tensor ${unknown}, so their symbols are not those this decoder reads: use osdc`);
    const layer = (name: string) => new Layer(tensors, name);
    this.tables = readTables(tensors, "prior.tables");
    this.tokenTables = readTables(tensors, "prior.token_tables");
    if (tensors.has("prior.base_table") !== tensors.has("prior.base_factor")) throw new WeightsError("the base lacks its table or its grid");
    if (tensors.has("prior.base_table")) {
      const [factor] = integers(tensors, "prior.base_factor");
      if (!(factor > 0)) throw new WeightsError("the base has no grid");
      this.base = { table: readTables(tensors, "prior.base_table"), factor };
    }
    if (this.tables.columns % 2 === 0) throw new WeightsError("the prior's tables have no middle");
    this.limit = (this.tables.columns - 1) / 2;
    this.hyperScale = [0, 1].map((i) => layer(`hyper_scale.${i}`));
    this.hyperSynthesis = [0, 1, 2].map((i) => layer(`hyper_synthesis.${i}`));
    this.context = [0, 1, 2, 3].map((t) => ({
      first: layer(`context.${t}.0`),
      second: layer(`context.${t}.1`),
      mean: layer(`context.${t}.mean`),
      scale: layer(`context.${t}.scale`),
    }));
    this.hyperChannels = this.hyperScale[1].outputs;
    this.latentChannels = this.context[0].mean.outputs;
    this.stride = tensors.has("prior.stride") ? integers(tensors, "prior.stride")[0] : 32;
    this.inverse = floats(tensor(tensors, "gains.inverse"));
    this.check();
  }

  private check(): void {
    const { hyperChannels, latentChannels, limit } = this;
    const repeat = (count: number, value: number) => new Array<number>(count).fill(value);
    const [first, second, third] = this.hyperSynthesis;
    const features = third.outputs;
    const fits =
      this.hyperScale[0].inputs === 1 &&
      this.hyperScale[1].inputs === this.hyperScale[0].outputs &&
      first.inputs === hyperChannels + 1 &&
      first.outputs === 4 * second.inputs &&
      second.outputs === 4 * third.inputs &&
      this.inverse.length === ANCHORS.length * latentChannels &&
      this.context.every(
        (group) =>
          group.first.inputs === features + latentChannels &&
          group.second.inputs === group.first.outputs &&
          group.mean.inputs === group.second.outputs &&
          group.scale.inputs === group.second.outputs &&
          group.mean.outputs === latentChannels &&
          group.scale.outputs === latentChannels,
      );
    if (!fits) throw new WeightsError("the sizes of the prior's layers do not fit together");
    this.hyperScale[1].bound(repeat(this.hyperScale[1].inputs, this.hyperScale[0].bound([255])));
    let bound = first.bound([...repeat(hyperChannels, limit), 255]);
    for (const layer of [second, third]) bound = layer.bound(repeat(layer.inputs, bound));
    const reach = 16 * limit + Math.max(...this.context.map((group) => group.mean.reach));
    for (const group of this.context) {
      const seen = group.first.bound([...repeat(features, bound), ...repeat(latentChannels, reach)]);
      const hidden = group.second.bound(repeat(group.second.inputs, seen));
      for (const head of [group.mean, group.scale]) head.bound(repeat(head.inputs, hidden));
    }
    for (const layer of [this.hyperScale[1], ...this.context.map((group) => group.scale)]) {
      if (layer.rescale[2] < 0 || layer.rescale[3] >= this.tables.rows) throw new WeightsError("the prior names tables that are not there");
    }
  }

  /**
   * The symbols of a file. FormatError if its payload is damaged.
   * grid: quality of each position, where they differ; progress hears the share that is done.
   */
  decode(osd: Osd, grid?: Uint8Array, progress?: (share: number) => void): Symbols {
    const [h, w] = this.size(osd);
    const stack = new Stack(osd.payload, osd.missing);
    const { limit, hyperChannels, latentChannels } = this;
    const first = (tables: Tables, row: number) => {
      if (stack.exhausted) throw new FormatError("too little for a first picture", "payload");
      return stack.pop(tables, row);
    };
    const tokens = Int32Array.from({ length: this.tokenTables.rows }, (_, k) => first(this.tokenTables, k));
    const codes = this.base ? Math.ceil(h / this.base.factor) * Math.ceil(w / this.base.factor) : 0;
    const base = Int32Array.from({ length: codes }, () => first(this.base!.table, 0));

    const [hh, hw] = [Math.ceil(h / HYPER_FACTOR), Math.ceil(w / HYPER_FACTOR)];
    const rows = this.hyperScale.reduce<Float64Array>((x, layer) => layer.run(x, 1, 1), Float64Array.of(osd.quality));
    const hyper = new Int32Array(hyperChannels * hh * hw);
    for (let at = 0; at < hyper.length; at++) hyper[at] = first(this.tables, rows[Math.floor(at / (hh * hw))]) - limit;
    const features = this.features(hyper, osd.quality, h, w, grid);
    const depth = features.length / (h * w);

    const channels = depth + latentChannels; // of what the context model sees: the features, then what is known of Y
    const seen = new Float64Array(h * w * channels);
    const plain = () => {
      for (let p = 0; p < h * w; p++) {
        seen.fill(0, p * channels, (p + 1) * channels);
        seen.set(features.subarray(p * depth, (p + 1) * depth), p * channels);
      }
    };
    const [latent, y16] = [0, 0].map(() => new Int32Array(h * w * latentChannels));
    const [means, scales] = [0, 0].map(() => new Float64Array(h * w * latentChannels));
    const decided = new Uint8Array(osd.progressive ? latent.length : 0);
    const tables = new Uint8Array(latent.length);
    const take = (at: number) => {
      latent[at] = stack.pop(this.tables, scales[at]) - limit;
      y16[at] = 16 * latent[at] + means[at];
    };
    const positions = phases(h, w);
    const passes = osd.progressive ? PROGRESSIVE_PASSES : [0];
    for (const [pass, least] of passes.entries()) {
      plain();
      for (let t = 0; t < 4; t++) {
        const members = this.members(t, positions);
        this.heads(t, seen, h, w, positions, means, scales);
        if (osd.progressive) {
          const open = members.filter((at) => !decided[at]);
          for (const at of open) [y16[at], tables[at]] = [means[at], scales[at]];
          const chosen = open.filter((at) => scales[at] >= least).sort((a, b) => scales[b] - scales[a]); // stable
          for (const at of chosen) {
            if (stack.exhausted) break;
            take(at);
            decided[at] = 1;
          }
        } else {
          members.forEach(take);
          for (const at of members) tables[at] = scales[at];
        }
        for (const at of members) seen[Math.floor(at / latentChannels) * channels + depth + (at % latentChannels)] = y16[at];
        progress?.((4 * pass + t + 1) / (4 * passes.length));
      }
      if (stack.exhausted) break;
    }
    stack.finish();
    for (let at = 0; at < decided.length; at++) if (!decided[at]) tables[at] += UNSEEN;
    const [symbols, values, known] = [latent, y16, tables].map((x) => channelsFirst(x, h * w));
    return { tokens, base, hyper, latent: symbols, y16: values, tables: Uint8Array.from(known), rows: h, columns: w };
  }

  /** Rows and columns of the latent of a picture. */
  size({ width, height }: Pick<Osd, "width" | "height">): [number, number] {
    return [Math.ceil(height / this.stride), Math.ceil(width / this.stride)];
  }

  /** First channel of each quarter, and the end: channel c is of quarter floor(4 c / C_y). */
  private get quarters(): number[] {
    return [0, 1, 2, 3, 4].map((n) => Math.ceil((n * this.latentChannels) / 4));
  }

  /** Places of the symbols of group t, in the order of channel, row and column. */
  private members(t: number, positions: Int32Array[]): Int32Array {
    const found = new Int32Array(this.latentChannels * positions.reduce((sum, some) => sum + some.length, 0));
    let count = 0;
    for (let c = 0; c < this.latentChannels; c++) {
      const quarter = Math.floor((4 * c) / this.latentChannels);
      for (const p of positions[PHASES[t] ^ quarter]) found[count++] = p * this.latentChannels + c;
    }
    return found.subarray(0, count);
  }

  /** Means and rows of the tables of the symbols of group t; others stay. */
  private heads(t: number, seen: Float64Array, h: number, w: number, positions: Int32Array[], means: Float64Array, scales: Float64Array): void {
    const { first, second, mean, scale } = this.context[t];
    const order = Int32Array.from(positions.flatMap((some) => [...some])); // what is known yet is the same at all positions of a phase
    const hidden = second.run(first.run(seen, h, w, order), h, w, order);
    for (let quarter = 0; quarter < 4; quarter++) {
      const [from, to] = this.quarters.slice(quarter);
      const here = positions[PHASES[t] ^ quarter];
      mean.run(hidden, h, w, here, means, from, to);
      scale.run(hidden, h, w, here, scales, from, to);
    }
  }

  /** (h, w, C_f) */
  private features(hyper: Int32Array, quality: number, h: number, w: number, grid?: Uint8Array): Float64Array {
    let [rows, columns] = [Math.ceil(h / HYPER_FACTOR), Math.ceil(w / HYPER_FACTOR)];
    const channels = this.hyperChannels + 1;
    let x: Float64Array = new Float64Array(rows * columns * channels);
    for (let p = 0; p < rows * columns; p++) {
      for (let c = 0; c < this.hyperChannels; c++) x[p * channels + c] = hyper[c * rows * columns + p];
      x[(p + 1) * channels - 1] = grid ? 255 : quality;
    }
    for (let p = 0; grid && p < h * w; p++) {
      const cell = Math.floor(Math.floor(p / w) / HYPER_FACTOR) * columns + Math.floor((p % w) / HYPER_FACTOR);
      const place = (cell + 1) * channels - 1;
      x[place] = Math.min(x[place], grid[p]);
    }
    for (const layer of this.hyperSynthesis.slice(0, 2)) {
      x = shuffle(layer.run(x, rows, columns), rows, columns);
      [rows, columns] = [2 * rows, 2 * columns];
    }
    x = this.hyperSynthesis[2].run(x, rows, columns);
    const depth = this.hyperSynthesis[2].outputs;
    const cut = new Float64Array(h * w * depth);
    for (let i = 0; i < h; i++) cut.set(x.subarray(i * columns * depth, (i * columns + w) * depth), i * w * depth);
    return cut;
  }

  /** What the networks take, (C_y, h, w): the latent times the inverse gain of its channel and of its position's quality. */
  reconstruct(symbols: Symbols, quality: number, grid?: Uint8Array): Float32Array {
    const gains = new Map<number, Float32Array>();
    const size = symbols.rows * symbols.columns;
    return Float32Array.from(symbols.y16, (value, at) => {
      const q = grid ? grid[at % size] : quality;
      if (!gains.has(q)) gains.set(q, this.inverseGains(q));
      return Math.fround(value / 16) * gains.get(q)![Math.floor(at / size)];
    });
  }

  /** Standard deviation of the symbols that each table expects. */
  deviations(): Float64Array {
    const { starts, rows, columns } = this.tables;
    return Float64Array.from({ length: rows }, (_, row) => {
      let sum = 0;
      for (let column = 0, at = row * (columns + 1); column < columns; column++, at++) sum += (starts[at + 1] - starts[at]) * (column - this.limit) ** 2;
      return Math.sqrt(sum / starts[row * (columns + 1) + columns]);
    });
  }

  /** Between two rows the logarithm of a gain is linear in q. */
  inverseGains(quality: number): Float32Array {
    const below = Math.max(1, ANCHORS.findIndex((anchor) => anchor <= quality));
    const share = (ANCHORS[below - 1] - quality) / (ANCHORS[below - 1] - ANCHORS[below]);
    const row = (index: number, c: number) => Math.log(this.inverse[index * this.latentChannels + c]);
    return Float32Array.from({ length: this.latentChannels }, (_, c) =>
      Math.exp((1 - share) * row(below - 1, c) + share * row(below, c)),
    );
  }
}

/** The positions of each phase, 2 (row mod 2) + column mod 2. */
function phases(h: number, w: number): Int32Array[] {
  const found: number[][] = [[], [], [], []];
  for (let p = 0; p < h * w; p++) found[2 * (Math.floor(p / w) & 1) + ((p % w) & 1)].push(p);
  return found.map((positions) => Int32Array.from(positions));
}

/** (positions, C) -> (C, positions) */
function channelsFirst(x: Int32Array | Uint8Array, positions: number): Int32Array {
  const channels = x.length / positions;
  const y = new Int32Array(x.length);
  for (let p = 0; p < positions; p++) for (let c = 0; c < channels; c++) y[c * positions + p] = x[p * channels + c];
  return y;
}

function readTables(tensors: Tensors, name: string): Tables {
  const { shape } = tensor(tensors, name);
  try {
    return new Tables(integers(tensors, name), shape.length > 1 ? shape[0] : 1, shape[shape.length - 1]);
  } catch (error) {
    throw error instanceof RangeError ? new WeightsError(`${name}: ${error.message}`) : error;
  }
}

/** The bytes whose SHA-256 is the digest of the symbols, or of indices. */
export function digestInput(symbols: Symbols | Int32Array): Uint8Array {
  const parts = symbols instanceof Int32Array ? [symbols] : [symbols.tokens, symbols.base, symbols.hyper, symbols.latent, symbols.y16];
  const view = new DataView(new ArrayBuffer(4 * parts.reduce((sum, part) => sum + part.length, 0)));
  let at = 0;
  for (const part of parts) for (const value of part) view.setInt32(4 * at++, value, true);
  return new Uint8Array(view.buffer);
}

