// A layer of the integer prior: a convolution, a bias and a rescaling, in exact integers. After spec/osd-1.md, "Integer prior".
//
// Values are integers in double precision, where every sum is exact in any order: `bound` makes sure of it. Grids lie position
// by position, (rows, columns, channels), so that what a kernel sees of one row is contiguous, and what is 0 there, most of it,
// is left out.

import { WeightsError } from "./errors";
import { integers, tensor, type Tensors } from "./safetensors";

const EXACT = 2 ** 53;

export class Layer {
  readonly inputs: number;
  readonly outputs: number;
  readonly size: number;
  readonly rescale: Int32Array; // m, s, low, high
  private readonly depth: number; // size * size * inputs
  private readonly weights: Float32Array; // (outputs / 2, size, size, inputs, 2): 16 bits each, so single precision holds them
  private readonly bias: Float64Array;

  constructor(tensors: Tensors, name: string) {
    const [outputs, inputs, size] = tensor(tensors, `prior.${name}.weight`).shape;
    const stored = integers(tensors, `prior.${name}.weight`);
    [this.outputs, this.inputs, this.size] = [outputs, inputs, size];
    this.bias = Float64Array.from(integers(tensors, `prior.${name}.bias`));
    this.rescale = integers(tensors, `prior.${name}.rescale`);
    const [m, s, low, high] = this.rescale;
    if (!(m >= 1 && s >= 0 && s <= 62 && low <= high)) throw new WeightsError(`the layer ${name} has no rescaling`);
    const places = size * size;
    this.depth = places * inputs;
    this.weights = new Float32Array((outputs + (outputs & 1)) * this.depth);
    for (let o = 0; o < outputs; o++) {
      for (let c = 0; c < inputs; c++) {
        for (let p = 0; p < places; p++) this.weights[this.place(o, p * inputs + c)] = stored[(o * inputs + c) * places + p];
      }
    }
  }

  get reach(): number {
    return Math.max(Math.abs(this.rescale[2]), Math.abs(this.rescale[3]));
  }

  private place(o: number, n: number): number {
    return ((o >> 1) * this.depth + n) * 2 + (o & 1);
  }

  /** Largest magnitude of each input -> of the outputs. WeightsError if a sum might not be exact. */
  bound(limits: ArrayLike<number>): number {
    for (let o = 0; o < this.outputs; o++) {
      let worst = Math.abs(this.bias[o]);
      for (let n = 0; n < this.depth; n++) worst += Math.abs(this.weights[this.place(o, n)]) * limits[n % this.inputs];
      if (!(worst * this.rescale[0] < EXACT)) throw new WeightsError("the prior is not exact in double precision");
    }
    return this.reach;
  }

  /**
   * The output at `positions` into y, its channels `from` .. `to` only; x has `rows` x `columns` positions. Four positions are
   * computed together: quickest where they see 0 at the same places.
   */
  run(
    x: Float64Array,
    rows: number,
    columns: number,
    positions: Int32Array = Int32Array.from({ length: rows * columns }, (_, p) => p),
    y: Float64Array = new Float64Array(rows * columns * this.outputs),
    from = 0,
    to = this.outputs,
  ): Float64Array {
    const { inputs, outputs, size, depth, weights, bias } = this;
    const [multiplier, shift, low, high] = this.rescale;
    const scale = 2 ** -shift;
    const width = columns + size - 1;
    const padded = pad(x, rows, columns, size >> 1);
    const four = new Int32Array(4);
    const places = new Int32Array(depth); // of the weights, for what the four see that is not 0 in all of them
    const values = new Float64Array(4 * depth); // what they see there
    const sums = new Float64Array(8); // (2 outputs, 4 positions)
    for (let n = 0; n < positions.length; n += 4) {
      for (let k = 0; k < 4; k++) four[k] = positions[Math.min(n + k, positions.length - 1)];
      const starts = four.map((p) => (Math.floor(p / columns) * width + (p % columns)) * inputs);
      let count = 0;
      for (let u = 0; u < size; u++) count = gather(padded, starts, u, width * inputs, size * inputs, places, values, count);
      for (let o = from - (from & 1); o < to; o += 2) {
        multiply(weights, o * depth, places, values, count, sums);
        for (let c = Math.max(o, from); c < to && c < o + 2; c++) {
          for (let k = 0; k < 4; k++) {
            const sum = bias[c] + sums[4 * (c - o) + k];
            const value = Math.floor(sum * multiplier * scale); // the product is exact; by the power of two only the exponent changes
            y[four[k] * outputs + c] = value < low ? low : value > high ? high : value;
          }
        }
      }
    }
    return y;
  }
}

/** Adds row u of what four positions see, `length` numbers, to the `count` that are there; returns how many there are then. */
function gather(
  x: Float64Array,
  starts: Int32Array,
  u: number,
  width: number,
  length: number,
  places: Int32Array,
  values: Float64Array,
  count: number,
): number {
  const [p, q, r, s] = starts.map((start) => start + u * width);
  for (let n = 0; n < length; n++) {
    const a = x[p + n], b = x[q + n], c = x[r + n], d = x[s + n];
    if (a !== 0 || b !== 0 || c !== 0 || d !== 0) {
      places[count] = 2 * (u * length + n);
      values[4 * count] = a;
      values[4 * count + 1] = b;
      values[4 * count + 2] = c;
      values[4 * count + 3] = d;
      count++;
    }
  }
  return count;
}

/** The sums of two outputs, whose weights begin at `start`: there are registers for eight, so nothing is stored between. */
function multiply(weights: Float32Array, start: number, places: Int32Array, values: Float64Array, count: number, sums: Float64Array): void {
  let a = 0, b = 0, c = 0, d = 0;
  let e = 0, f = 0, g = 0, h = 0;
  for (let n = 0; n < count; n++) {
    const place = start + places[n];
    const first = weights[place], second = weights[place + 1];
    const p = values[4 * n], q = values[4 * n + 1], r = values[4 * n + 2], s = values[4 * n + 3];
    a += first * p;
    b += first * q;
    c += first * r;
    d += first * s;
    e += second * p;
    f += second * q;
    g += second * r;
    h += second * s;
  }
  sums[0] = a; sums[1] = b; sums[2] = c; sums[3] = d;
  sums[4] = e; sums[5] = f; sums[6] = g; sums[7] = h;
}

/** (rows, columns, C) -> (rows + 2 reach, columns + 2 reach, C), 0 around */
function pad(x: Float64Array, rows: number, columns: number, reach: number): Float64Array {
  if (reach === 0) return x;
  const row = x.length / rows;
  const channels = row / columns;
  const y = new Float64Array((rows + 2 * reach) * (row + 2 * reach * channels));
  for (let i = 0; i < rows; i++) {
    y.set(x.subarray(i * row, (i + 1) * row), (i + reach) * (row + 2 * reach * channels) + reach * channels);
  }
  return y;
}
