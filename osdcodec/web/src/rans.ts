// The stack of symbols, after spec/osd-1.md, "The stack". The state of 64 bits is two halves of 32: no BigInt.

import { FormatError } from "./errors";

const LOW = 2 ** 20;
const TOTAL = 2 ** 24;

/** Rows of frequencies that sum to 2^24, as the sums before each column. */
export class Tables {
  readonly starts: Float64Array; // rows x (columns + 1)

  /** RangeError unless each frequency is positive and each row sums to 2^24. */
  constructor(
    frequencies: Int32Array,
    readonly rows: number,
    readonly columns: number,
  ) {
    this.starts = new Float64Array(rows * (columns + 1));
    for (let row = 0, at = 0; row < rows; row++, at++) {
      for (let column = 0; column < columns; column++, at++) {
        const frequency = frequencies[row * columns + column];
        if (frequency < 1) throw new RangeError("a frequency is not positive");
        this.starts[at + 1] = this.starts[at] + frequency;
      }
      if (this.starts[at] !== TOTAL) throw new RangeError("frequencies do not sum to 2^24");
    }
  }
}

export class Stack {
  private readonly words: Uint32Array;
  private left: number; // words that are still in the list
  private high = 0;
  private low = 0;

  /** missing: bytes at the bottom that are not known; a word of which one is missing is not known either. */
  constructor(
    payload: Uint8Array,
    private readonly missing = 0,
  ) {
    const known = payload.subarray((4 - (missing % 4)) % 4);
    const padded = new Uint8Array(Math.ceil(known.length / 4) * 4);
    padded.set(known);
    const view = new DataView(padded.buffer);
    this.words = Uint32Array.from({ length: padded.length / 4 }, (_, i) => view.getUint32(4 * i, true));
    this.left = this.words.length;
    if (this.left) this.low = this.words[--this.left];
    if (this.left) [this.high, this.low] = [this.low, this.words[--this.left]];
  }

  /** Whether the next symbol depends on a word that is not known. */
  get exhausted(): boolean {
    return this.missing > 0 && this.high === 0 && this.left === 0;
  }

  /** The column of the next symbol. FormatError once the stack has run dry: it never rises again. */
  pop(tables: Tables, row: number): number {
    const { starts, columns } = tables;
    const first = row * (columns + 1);
    const u = this.low & 0xffffff;
    let [a, b] = [first, first + columns]; // starts[a] <= u < starts[b]
    while (b - a > 1) {
      const middle = (a + b) >>> 1;
      if (starts[middle] <= u) a = middle;
      else b = middle;
    }
    // state / 2^24 has 40 bits, its product with the frequency 64: in two parts of 20 bits each product has 44.
    const quotient = this.high * 256 + (this.low >>> 24);
    const upper = Math.floor(quotient / LOW);
    const frequency = starts[a + 1] - starts[a];
    const lower = (quotient - upper * LOW) * frequency + (u - starts[a]);
    const carry = Math.floor(lower / LOW);
    const rest = upper * frequency + carry; // of the new state, in units of 2^20
    this.high = Math.floor(rest / 4096);
    this.low = (rest - this.high * 4096) * LOW + (lower - carry * LOW);
    if (this.high === 0) {
      if (this.left) [this.high, this.low] = [this.low, this.words[--this.left]];
      else if (this.low < 0x10000 && !this.missing) throw new FormatError("ends before its last symbol: damaged, or other weights", "payload");
    }
    return a - first;
  }

  /** FormatError unless the stack is as it began. */
  finish(): void {
    if (this.missing) return;
    if (this.left || this.high !== 0 || this.low !== 0x10000) {
      throw new FormatError("does not end with its last symbol: damaged, or other weights", "payload");
    }
  }
}
