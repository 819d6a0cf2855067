// Bytes of an .osd file and a model -> a picture, by one diffusion step. After spec/weights.md, "From symbols to a picture".

import { decodeAlpha } from "./alpha";
import { MAX_PIXELS, qualities, unpack, type Osd } from "./container";
import { OsdError, WeightsError } from "./errors";
import { restore } from "./flat-background";
import type { Networks } from "./networks";
import { standardNormals } from "./noise";
import { blank, type Picture } from "./picture";
import type { Symbols } from "./prior";
import { grid, type Grid } from "./tiles";
import { expect, type TrustMap } from "./trust";

const KEPT = 2 ** 23; // pixels of the last picture that is kept beside the one that was given out
const SHARES = { symbols: 0.15, synthesise: 0.1, denoise: 0.2, render: 0.55 }; // of the time for a picture, roughly

export interface Opening {
  progress?: (share: number) => void;
  maxPixels?: number; // larger pictures are refused
  partial?: boolean; // the beginning of a progressive file will do
}

export interface Options {
  detail?: number; // 0: the coarse picture, 1: denoised, up to 1.5
  seed?: bigint | number; // of the noise, 0 .. 2^64 - 1
}

/** One file, opened. What is costly is done once: another detail only renders again, another seed denoises again. */
export class Decoding {
  private denoised?: { seed: bigint; z: Grid };
  private last?: { detail: number; seed: bigint; picture: Picture }; // a map of trust is asked for what is shown

  private constructor(
    readonly osd: Osd,
    readonly symbols: Symbols,
    public networks: Networks, // others of the same model may take their place
    private readonly alpha: Uint8ClampedArray | undefined,
    private readonly coarse: Grid, // z_c
    private readonly condition: Grid,
  ) {}

  /** FormatError if the file is damaged, WeightsError if the model is not the one it names. */
  static async open(data: Uint8Array, networks: Networks, { progress, maxPixels = MAX_PIXELS, partial }: Opening = {}): Promise<Decoding> {
    const osd = unpack(data, maxPixels, partial);
    const { model } = networks;
    if (osd.modelId !== model.modelId) throw new WeightsError(`the file is of model ${osd.modelId}, the weights of ${model.modelId}`);
    const { prior } = model;
    const [h, w] = prior.size(osd);
    const map = qualities(osd, prior.stride, h, w);
    const symbols = prior.decode(osd, map, (share) => progress?.(SHARES.symbols * share));
    const content = osd.sections.get("A");
    const alpha = content && (await decodeAlpha(content, osd.width, osd.height));
    const y = grid(prior.latentChannels, h, w, prior.reconstruct(symbols, osd.quality, map));
    const [coarse, condition] = await networks.synthesise(y, symbols.tokens, (share) =>
      progress?.(SHARES.symbols + SHARES.synthesise * share),
    );
    return new Decoding(osd, symbols, networks, alpha, coarse, condition);
  }

  /** Half the size, coarse, at once: a linear map of each position of the latent, no network. Undefined if the model has none. */
  async preview({ detail = 0, seed = 0 }: Options = {}): Promise<Picture | undefined> {
    const { model } = this.networks;
    if (!model.has("preview.weight")) return undefined;
    const z = this.denoised && this.denoised.seed === BigInt(seed) ? this.mix(this.denoised.z, detail) : this.coarse;
    const [weight, bias] = [await model.floats("preview.weight"), await model.floats("preview.bias")];
    const side = Math.sqrt(bias.length / 3); // of the block of each position
    const picture = blank(Math.ceil(this.osd.width / 2), Math.ceil(this.osd.height / 2));
    const size = z.rows * z.columns;
    const plane = new Float32Array(z.columns);
    for (let out = 0; out < bias.length; out++) {
      const colour = Math.floor(out / side ** 2);
      const [down, across] = [Math.floor((out % side ** 2) / side), out % side];
      for (let i = 0; i < z.rows && i * side + down < picture.height; i++) {
        plane.fill(bias[out]);
        for (let c = 0; c < z.channels; c++) {
          const factor = weight[out * z.channels + c];
          const start = c * size + i * z.columns;
          for (let j = 0; j < z.columns; j++) plane[j] += factor * z.data[start + j];
        }
        for (let j = 0; j < z.columns && j * side + across < picture.width; j++) {
          picture.data[4 * ((i * side + down) * picture.width + j * side + across) + colour] = plane[j] * 127.5 + 127.5;
        }
      }
    }
    this.finish(picture);
    for (let i = 0; this.alpha && i < picture.height; i++) {
      for (let j = 0; j < picture.width; j++) {
        picture.data[4 * (i * picture.width + j) + 3] = this.alpha[2 * i * this.osd.width + 2 * j];
      }
    }
    return picture;
  }

  /** The whole picture. OsdError if the detail is out of range. */
  async picture({ detail = 1, seed = 0 }: Options = {}, progress?: (share: number) => void): Promise<Picture> {
    if (!(detail >= 0 && detail <= 1.5)) throw new OsdError(`detail must lie between 0 and 1.5, not ${detail}`);
    const { prior } = this.networks.model;
    const fine = this.coarse.rows / this.symbols.rows;
    const { width, height } = this.osd;
    let [z, done] = [this.coarse, SHARES.symbols + SHARES.synthesise];
    if (detail > 0) z = this.mix(await this.denoise(BigInt(seed), fine, (share) => progress?.(done + SHARES.denoise * share)), detail);
    done += SHARES.denoise;
    const picture = blank(width, height);
    const draw = (colours: Grid, top: number, left: number) => {
      const size = colours.rows * colours.columns;
      for (let i = 0; i < colours.rows && top + i < height; i++) {
        for (let j = 0; j < colours.columns && left + j < width; j++) {
          const to = 4 * ((top + i) * width + left + j);
          for (let c = 0; c < 3; c++) {
            picture.data[to + c] = Math.fround(Math.fround(colours.data[c * size + i * colours.columns + j] * 127.5) + 127.5);
          }
        }
      }
    };
    await this.networks.render(z, fine, prior.stride, draw, (share) => progress?.(done + SHARES.render * share));
    this.finish(picture);
    for (let p = 0; this.alpha && p < this.alpha.length; p++) picture.data[4 * p + 3] = this.alpha[p];
    if (this.networks.model.trust && width * height <= KEPT) {
      this.last = { detail, seed: BigInt(seed), picture: { ...picture, data: picture.data.slice() } };
    }
    return picture;
  }

  /** How far the picture with these options is likely to be off. WeightsError if no map was fitted to its model. */
  async trust({ detail = 1, seed = 0 }: Options = {}): Promise<TrustMap> {
    const { networks, osd, symbols, coarse, last } = this;
    const { model } = networks;
    if (!model.trust) throw new WeightsError(`no map of trust was fitted to model ${model.modelId}`);
    const shown = last?.detail === detail && last.seed === BigInt(seed) ? last.picture : await this.picture({ detail, seed });
    const map = qualities(osd, model.prior.stride, symbols.rows, symbols.columns);
    const denoised = detail > 0 ? this.denoised!.z : coarse;
    const known = { symbols, quality: osd.quality, map, detail, coarse, denoised, grey: osd.grey };
    return expect(shown, known, model.prior, (inputs) => networks.trust(inputs));
  }

  /** What is known of the colours beside the symbols. */
  private finish(picture: Picture): void {
    if (this.osd.flatColours) restore(picture, this.osd.flatColours);
    if (this.osd.grey) for (let at = 0; at < picture.data.length; at += 4) grey(picture.data, at);
  }

  private async denoise(seed: bigint, fine: number, progress: (share: number) => void): Promise<Grid> {
    if (this.denoised?.seed !== seed) {
      const { channels, rows, columns, data } = this.coarse;
      const noise = grid(channels, rows, columns, standardNormals(seed, data.length));
      const z = await this.networks.denoise(this.coarse, this.condition, noise, this.symbols.tokens, this.osd.quality, fine, progress);
      this.denoised = { seed, z };
    }
    return this.denoised.z;
  }

  /** z_c + detail (z - z_c) */
  private mix(z: Grid, detail: number): Grid {
    const step = Math.fround(detail);
    const mixed = this.coarse.data.map((from, at) => from + Math.fround(step * Math.fround(z.data[at] - from)));
    return { ...z, data: mixed };
  }
}

/** The bytes of a file and loaded networks -> its picture. */
export async function decode(data: Uint8Array, networks: Networks, options: Options & Opening = {}): Promise<Picture> {
  return (await Decoding.open(data, networks, options)).picture(options);
}

/** Luminance in place of the three colours. */
function grey(data: Uint8ClampedArray, at: number): void {
  data.fill(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2], at, at + 3);
}
