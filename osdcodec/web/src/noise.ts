// The noise that the diffusion starts with, after spec/weights.md, "Noise": NumPy's Philox and its ziggurat in single precision.

const R = 3.6541528853610087963519472518; // where the tail begins
const fround = Math.fround;

// Heights and widths of the 256 strips, from the outermost, which has the tail, inwards.
const WIDTH = new Float32Array(256); // of a strip, over 2^23
const INSIDE = new Int32Array(256); // a number of 23 bits below it lies in the strip for certain
const HEIGHT = new Float32Array(256); // of the density at the strip's edge
{
  const density = (x: number) => Math.exp((-x * x) / 2);
  const area = 0.004928673233974655; // of each strip, the tail included
  const edge = new Float64Array(256);
  edge[255] = R;
  for (let i = 254; i > 0; i--) edge[i] = Math.sqrt(-2 * Math.log(area / edge[i + 1] + density(edge[i + 1])));
  for (let i = 1; i < 256; i++) {
    WIDTH[i] = edge[i] / 2 ** 23;
    INSIDE[i] = Math.floor((edge[i - 1] / edge[i]) * 2 ** 23);
    HEIGHT[i] = density(edge[i]);
  }
  WIDTH[0] = area / density(R) / 2 ** 23;
  INSIDE[0] = Math.floor(((R * density(R)) / area) * 2 ** 23);
  HEIGHT[0] = 1;
}

/** Philox4x64-10 (Salmon et al., 2011), in 32-bit words, the low half of each number first. */
export class Philox {
  private readonly key: Uint32Array;
  private readonly counter = new Uint32Array(8);
  private readonly block = new Uint32Array(8);
  private at = 8;

  /** seed: 0 .. 2^64 - 1 */
  constructor(seed: bigint) {
    this.key = Uint32Array.of(Number(seed & 0xffffffffn), Number((seed >> 32n) & 0xffffffffn), 0, 0);
  }

  next32(): number {
    if (this.at === 8) {
      for (let i = 0; i < 8 && ++this.counter[i] === 0; i++); // the carry; a counter's word wraps by itself
      this.generate();
      this.at = 0;
    }
    return this.block[this.at++];
  }

  private generate(): void {
    const x = this.block;
    x.set(this.counter);
    let [k0, k1, k2, k3] = this.key;
    for (let round = 0; round < 10; round++) {
      multiply(0xe14c6c93, 0xd2e7470e, x[0], x[1], FIRST);
      multiply(0x95121157, 0xca5a8263, x[4], x[5], SECOND);
      x[0] = SECOND[2] ^ x[2] ^ k0;
      x[1] = SECOND[3] ^ x[3] ^ k1;
      x[2] = SECOND[0];
      x[3] = SECOND[1];
      x[4] = FIRST[2] ^ x[6] ^ k2;
      x[5] = FIRST[3] ^ x[7] ^ k3;
      x[6] = FIRST[0];
      x[7] = FIRST[1];
      const low = k0 + 0x7f4a7c15;
      const low2 = k2 + 0x84caa73b;
      k0 = low >>> 0;
      k1 = (k1 + 0x9e3779b9 + (low > 0xffffffff ? 1 : 0)) >>> 0;
      k2 = low2 >>> 0;
      k3 = (k3 + 0xbb67ae85 + (low2 > 0xffffffff ? 1 : 0)) >>> 0;
    }
  }
}

const FIRST = new Uint32Array(4);
const SECOND = new Uint32Array(4);

/** Two numbers of 64 bits, low halves first -> the 128 bits of their product, lowest first. */
function multiply(aLow: number, aHigh: number, bLow: number, bHigh: number, product: Uint32Array): void {
  const second = high(aLow, bLow) + (Math.imul(aLow, bHigh) >>> 0) + (Math.imul(aHigh, bLow) >>> 0);
  const third = high(aLow, bHigh) + high(aHigh, bLow) + (Math.imul(aHigh, bHigh) >>> 0) + Math.floor(second / 2 ** 32);
  product[0] = Math.imul(aLow, bLow);
  product[1] = second; // a word keeps the low 32 bits
  product[2] = third;
  product[3] = high(aHigh, bHigh) + Math.floor(third / 2 ** 32);
}

/** The high 32 bits of the product of two numbers of 32 bits. */
function high(a: number, b: number): number {
  const a0 = a & 0xffff;
  const b0 = b & 0xffff;
  const low = a0 * b0;
  const middle = (a >>> 16) * b0 + (low >>> 16);
  const other = a0 * (b >>> 16) + (middle & 0xffff);
  return (a >>> 16) * (b >>> 16) + (middle >>> 16) + (other >>> 16);
}

/** `count` numbers of the normal distribution, as numpy.random.Generator(Philox(key=seed)).standard_normal(count, "float32"). */
export function standardNormals(seed: bigint, count: number): Float32Array {
  const random = new Philox(seed);
  const uniform = () => fround((random.next32() >>> 8) / 2 ** 24);
  const normal = (): number => {
    for (;;) {
      const bits = random.next32();
      const strip = bits & 255;
      const distance = bits >>> 9;
      const x = fround((bits & 256 ? -1 : 1) * fround(distance * WIDTH[strip]));
      if (distance < INSIDE[strip]) return x;
      if (strip === 0) {
        for (;;) {
          const beyond = fround(fround(-0.27366123732975828) * fround(Math.log1p(-uniform())));
          const y = fround(-Math.log1p(-uniform()));
          if (fround(y + y) > fround(beyond * beyond)) return (distance >> 8) & 1 ? -fround(fround(R) + beyond) : fround(fround(R) + beyond);
        }
      }
      const drop = fround(HEIGHT[strip - 1] - HEIGHT[strip]);
      if (fround(fround(drop * uniform()) + HEIGHT[strip]) < Math.exp(-0.5 * x * x)) return x;
    }
  };
  return Float32Array.from({ length: count }, normal);
}
