// One model: bytes of a weights file -> its prior, and its networks as a runtime takes them. After spec/weights.md.

import { sha256 } from "@noble/hashes/sha2.js";
import { hex } from "./container";
import { WeightsError } from "./errors";
import { placeTensors } from "./graph";
import { Prior } from "./prior";
import { floats, metadata, modelId, readSafetensors, tensor, type Tensors } from "./safetensors";

export type Verb = "synthesise" | "denoise" | "render";

/** How far each verb sees, in positions of the latent; see tiles.ts. */
export type Margins = Record<Verb, number>;

/** What models.json says of a model. */
export interface Listed {
  file: string;
  model_id: string;
  sha256: string;
  bytes: number;
  margins?: Margins;
}

export interface Network {
  graph: Uint8Array; // ONNX
  tensors: Uint8Array; // the file "weights" that it names
}

export class Model {
  readonly modelId: string;
  readonly prior: Prior;

  constructor(
    private readonly stored: Tensors,
    readonly margins?: Margins,
  ) {
    this.modelId = modelId(stored);
    this.prior = new Prior(stored);
  }

  async network(verb: Verb): Promise<Network> {
    const names = new TextDecoder().decode(await this.content(`graph.${verb}.tensors`));
    const values = await Promise.all(names.split("\n").map((name) => this.floats(name)));
    const lengths = new Map(names.split("\n").map((name, i) => [name, values[i].byteLength]));
    const whole = new Uint8Array(values.reduce((sum, value) => sum + value.byteLength, 0));
    let at = 0;
    for (const value of values) {
      whole.set(new Uint8Array(value.buffer), at);
      at += value.byteLength;
    }
    return { graph: placeTensors(await this.content(`graph.${verb}`), lengths), tensors: whole };
  }

  /** Values of the tensor of a network, whichever way it is stored. */
  async floats(name: string): Promise<Float32Array> {
    const scale = this.stored.get(`${name}|scale`);
    if (!scale) return floats(tensor(this.stored, name));
    const signed = new Int8Array((await this.content(name)).slice().buffer);
    const [scales, size] = [floats(scale), signed.length];
    const each = size / scales.length;
    if (!Number.isInteger(each)) throw new WeightsError(`the tensor ${name} is damaged`);
    const values = new Float32Array(size);
    for (let o = 0, at = 0; o < scales.length; o++) for (let n = 0; n < each; n++, at++) values[at] = signed[at] * scales[o];
    return values;
  }

  has(name: string): boolean {
    return this.stored.has(name) || this.stored.has(`${name}|deflated`);
  }

  /** The bytes of a tensor that may be stored deflated. */
  private async content(name: string): Promise<Uint8Array> {
    const deflated = this.stored.get(`${name}|deflated`);
    return deflated ? inflate(deflated.bytes) : tensor(this.stored, name).bytes;
  }
}

/** The bytes of a weights file -> a model. WeightsError if they are not those listed, before anything looks inside. */
export async function loadWeights(data: Uint8Array, listed: Pick<Listed, "sha256"> & Partial<Listed>): Promise<Model> {
  if ((await digest(data)) !== listed.sha256) {
    throw new WeightsError(`the weights are not the file listed (${data.length} bytes, SHA-256 differs): load them again`);
  }
  const model = new Model(readSafetensors(data), listed.margins);
  // Another number of steps, a base, a denoiser that looks at the coarse picture: what this decoder does not do.
  const changed = Object.keys(JSON.parse(metadata(data).changes ?? "{}")).filter((name) => !name.endsWith("_layers"));
  if (changed.length) {
    throw new WeightsError(`the weights are of a profile with another ${changed.join(", ")}, which only the program osdc decodes`);
  }
  if (listed.model_id && model.modelId !== listed.model_id) {
    throw new WeightsError(`the weights are of model ${model.modelId}, not ${listed.model_id} as listed`);
  }
  return model;
}

/** SHA-256 in hexadecimal; browsers have their own only where a page came over a safe connection. */
async function digest(data: Uint8Array): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  return hex(subtle ? new Uint8Array(await subtle.digest("SHA-256", data as Uint8Array<ArrayBuffer>)) : sha256(data));
}

async function inflate(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("deflate"));
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (error) {
    throw new WeightsError(`a tensor cannot be inflated (${(error as Error).message})`);
  }
}
