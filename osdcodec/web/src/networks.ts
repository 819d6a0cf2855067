// The networks of a model through onnxruntime-web, on pictures of any size.

import type * as Ort from "onnxruntime-common";
import { WeightsError } from "./errors";
import { cut, grid, paste, spans, type Grid } from "./tiles";
import type { Model, NoiseLevels, Verb } from "./weights";

const TILE = 72; // positions of the latent on the side of a tile with its margins, at most: 2304 pixels

export type Runtime = typeof Ort;
export type Provider = "wasm" | "webgpu";
export type Progress = (share: number) => void;

export class Networks {
  private readonly sessions = new Map<Verb, Promise<Ort.InferenceSession>>();
  private map?: Promise<Ort.InferenceSession>;

  constructor(
    private readonly ort: Runtime,
    readonly model: Model,
    readonly provider: Provider = "wasm",
    private readonly tile = TILE,
  ) {}

  /** y (C_y, h, w) and tokens -> the compressed start z_c and what conditions the denoiser. */
  async synthesise(y: Grid, tokens: Int32Array, progress?: Progress): Promise<[Grid, Grid]> {
    const [z, condition] = await this.run("synthesise", { y_hat: y }, { tokens: this.tokens(tokens) }, 1, y, progress);
    return [z, condition];
  }

  /** z_c, its condition and noise -> the denoised latent. */
  async denoise(z: Grid, condition: Grid, noise: Grid, tokens: Int32Array, quality: number, fine: number, progress?: Progress): Promise<Grid> {
    const step = level(quality, this.model.noise);
    const others = {
      tokens: this.tokens(tokens),
      level: new this.ort.Tensor("float32", Float32Array.of(step), [1]),
      alpha_bar: new this.ort.Tensor("float32", Float32Array.of(alphaBar(step)), [1, 1, 1, 1]),
    };
    return (await this.run("denoise", { z_c: z, condition, noise }, others, fine, z, progress))[0];
  }

  /** z -> colours in [-1, 1]; what they are for is told tile by tile, so that the whole need not be kept as floats. */
  async render(z: Grid, fine: number, stride: number, each: (colours: Grid, top: number, left: number) => void, progress?: Progress): Promise<void> {
    for await (const { outputs, rows, columns } of this.tiles("render", { z }, {}, fine, z, progress)) {
      const core = grid(3, (rows.stop - rows.start) * stride, (columns.stop - columns.start) * stride);
      const shifted = (span: typeof rows) => ({ start: 0, stop: span.stop - span.start, low: span.low - span.start, high: span.high - span.start });
      paste(core, outputs[0], shifted(rows), shifted(columns), stride);
      each(core, rows.start * stride, columns.start * stride);
    }
  }

  /** The network of the map of trust on one tile, by WebAssembly. WeightsError if none was fitted to the model. */
  async trust(inputs: Record<string, Grid>): Promise<Grid> {
    this.map ??= this.openMap();
    this.map.catch(() => (this.map = undefined)); // a server may answer the next time
    const feeds = Object.entries(inputs).map(([name, { data, channels, rows, columns }]) => [name, new this.ort.Tensor("float32", data, [1, channels, rows, columns])]);
    const { trust } = await (await this.map).run(Object.fromEntries(feeds));
    return grid(trust.dims[1], trust.dims[2], trust.dims[3], trust.data as Float32Array);
  }

  private async openMap(): Promise<Ort.InferenceSession> {
    if (!this.model.trust) throw new WeightsError(`no map of trust was fitted to model ${this.model.modelId}`);
    return this.ort.InferenceSession.create(await this.model.trust(), { executionProviders: ["wasm"], logSeverityLevel: 3 });
  }

  /** The outputs of a verb, put together; `scale`: positions of the inputs per position of the latent. */
  private async run(verb: Verb, inputs: Record<string, Grid>, others: Ort.InferenceSession.FeedsType, scale: number, like: Grid, progress?: Progress): Promise<Grid[]> {
    let wholes: Grid[] = [];
    const [h, w] = [like.rows / scale, like.columns / scale];
    for await (const { outputs, rows, columns } of this.tiles(verb, inputs, others, scale, like, progress)) {
      const factors = outputs.map((output) => output.rows / (rows.high - rows.low));
      if (outputs[0].rows === h * factors[0] && outputs[0].columns === w * factors[0]) wholes = outputs;
      if (!wholes.length) wholes = outputs.map((output, i) => grid(output.channels, h * factors[i], w * factors[i]));
      if (wholes !== outputs) outputs.forEach((output, i) => paste(wholes[i], output, rows, columns, factors[i]));
    }
    return wholes;
  }

  private async *tiles(verb: Verb, inputs: Record<string, Grid>, others: Ort.InferenceSession.FeedsType, scale: number, like: Grid, progress?: Progress) {
    const session = await this.session(verb, scale);
    const margin = this.model.margins?.[verb];
    const vertical = spans(like.rows / scale, this.tile, margin);
    const horizontal = spans(like.columns / scale, this.tile, margin);
    let done = 0;
    for (const rows of vertical) {
      for (const columns of horizontal) {
        const feeds: Record<string, Ort.Tensor> = { ...(others as Record<string, Ort.Tensor>) };
        for (const [name, whole] of Object.entries(inputs)) {
          const part = cut(whole, rows, columns, scale);
          feeds[name] = new this.ort.Tensor("float32", part.data, [1, part.channels, part.rows, part.columns]);
        }
        const found = await session.run(feeds);
        const outputs = session.outputNames.map((name) => {
          const { data, dims } = found[name];
          return grid(dims[1], dims[2], dims[3], data as Float32Array);
        });
        yield { outputs, rows, columns };
        progress?.(++done / (vertical.length * horizontal.length));
      }
    }
  }

  private session(verb: Verb, scale: number): Promise<Ort.InferenceSession> {
    const found = this.sessions.get(verb) ?? this.open(verb, scale);
    this.sessions.set(verb, found);
    return found;
  }

  private async open(verb: Verb, scale: number): Promise<Ort.InferenceSession> {
    const { graph, tensors } = await this.model.network(verb, this.provider === "wasm" ? scale : undefined);
    return this.ort.InferenceSession.create(graph, {
      executionProviders: [this.provider],
      externalData: [{ path: "weights", data: tensors }],
      logSeverityLevel: 3,
    });
  }

  private tokens(tokens: Int32Array): Ort.Tensor {
    return new this.ort.Tensor("int64", BigInt64Array.from(tokens, BigInt), [1, tokens.length]);
  }
}

/** The diffusion step of a quality: the lower one of a model at q = 0, the higher one at q = 255. */
export function level(quality: number, [low, high]: NoiseLevels): number {
  return Math.round(low + ((high - low) * quality) / 255);
}

/** The product of 1 - beta up to and including a step, of 1000 whose square roots of beta are equally spaced. */
export function alphaBar(step: number): number {
  const [first, last] = [Math.sqrt(0.00085), Math.sqrt(0.012)];
  let product = 1;
  for (let n = 0; n <= step; n++) product *= 1 - (first + ((last - first) * n) / 999) ** 2;
  return product;
}
