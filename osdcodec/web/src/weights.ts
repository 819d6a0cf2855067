// One model: bytes of a weights file -> its prior, and its networks as a runtime takes them. After spec/weights.md.

import { sha256 } from "@noble/hashes/sha2.js";
import { hex } from "./container";
import { WeightsError } from "./errors";
import FIELDS from "./fields.json"; // those of osdcodec/profile.py: tests/test_profile.py compares them
import { placeTensors } from "./graph";
import { Prior } from "./prior";
import { join } from "./protobuf";
import { floats, modelId, readMetadata, readSafetensors, tensor, type Tensors } from "./safetensors";
import { winograd } from "./winograd";

export type Verb = "synthesise" | "denoise" | "render";
const VERBS: Verb[] = ["synthesise", "denoise", "render"];

/** Diffusion steps N at q = 0 and at q = 255. */
export type NoiseLevels = [number, number];

/** How far each verb sees, in positions of the latent; see tiles.ts. */
export type Margins = Record<Verb, number>;

/** What models.json says of a model. */
export interface Listed {
  file: string;
  model_id: string;
  sha256: string;
  bytes: number;
  margins?: Margins;
  trust?: { file: string; sha256: string }; // the network of the map of trust, if one was fitted to the model
}

export interface Network {
  graph: Uint8Array; // ONNX
  tensors: Uint8Array; // the file "weights" that it names
}

export class Model {
  readonly modelId: string;
  readonly prior: Prior;
  /** Brings the graph of the map of trust, if one was fitted to the model. */
  trust?: () => Promise<Uint8Array>;

  constructor(
    private readonly stored: Tensors,
    readonly margins?: Margins,
    readonly noise: NoiseLevels = [120, 300],
  ) {
    const lacking = VERBS.find((verb) => !this.has(`graph.${verb}`));
    if (lacking) throw new WeightsError(`the weights have no network to ${lacking}: they are of a profile that this decoder does not run`);
    this.modelId = modelId(stored);
    this.prior = new Prior(stored);
  }

  /** rows: of what the inputs' rows are always a multiple, if convolutions are to be made cheaper by it (see winograd.ts). */
  async network(verb: Verb, rows?: number): Promise<Network> {
    const names = new TextDecoder().decode(await this.content(`graph.${verb}.tensors`)).split("\n");
    let graph = await this.content(`graph.${verb}`);
    let values = new Map<string, Float32Array>();
    for (const name of names) values.set(name, await this.floats(name));
    if (rows) [graph, values] = winograd(graph, values, rows);
    const lengths = new Map([...values].map(([name, value]) => [name, value.byteLength]));
    return { graph: placeTensors(graph, lengths), tensors: join([...values.values()].map((value) => new Uint8Array(value.buffer))) };
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
  const stored = readSafetensors(data); // which refuses what is no such file
  const told = readMetadata(data);
  const model = new Model(stored, readMargins(told) ?? listed.margins, noiseLevels(told));
  if (listed.model_id && model.modelId !== listed.model_id) {
    throw new WeightsError(`the weights are of model ${model.modelId}, not ${listed.model_id} as listed`);
  }
  return model;
}

/** What a field of a profile is: Field in osdcodec/profile.py, with the same meaning. */
interface Field {
  scope: string;
  least: number;
  most: number;
  off: number;
}

/** After spec/weights.md, "Changed profiles". WeightsError if a picture would come out wrong, or nobody can know. */
function noiseLevels({ changes = "{}", fields = "{}" }: Record<string, string>): NoiseLevels {
  const known: Record<string, Field> = { ...JSON.parse(fields), ...FIELDS };
  const levels = { noise_low: 120, noise_high: 300 };
  for (const [name, value] of Object.entries<any>(JSON.parse(changes))) {
    const { scope, least, most, off } = known[name] ?? {};
    if (scope === "sizes") continue; // the graphs hold them, or they belong to a part
    if (scope === "noise" && name in levels) {
      if (!(Number.isInteger(value) && value >= least && value <= most)) throw new WeightsError("the weights' noise levels are out of range");
      levels[name as keyof typeof levels] = value;
    } else if (!(scope === "part" || scope === "pretrained") || [value].flat().some((number) => Number(number) !== off)) {
      throw new WeightsError(`the weights are of a model with ${name} ${JSON.stringify(value)}, which this decoder does not run: use osdc`);
    }
  }
  return [levels.noise_low, levels.noise_high];
}

/** The margins of tiles that the weights tell, after spec/weights.md, "Tiles"; undefined if they tell none. */
function readMargins({ margins }: Record<string, string>): Margins | undefined {
  if (margins === undefined) return undefined;
  const told = JSON.parse(margins);
  if (!VERBS.every((verb) => Number.isInteger(told[verb]) && told[verb] >= 0 && told[verb] < 4096)) {
    throw new WeightsError("the weights tell margins of tiles that cannot be");
  }
  return told;
}

/** The bytes of a map's graph, once they are those listed. */
export async function checkedTrust(data: Uint8Array, listed: NonNullable<Listed["trust"]>): Promise<Uint8Array> {
  if ((await digest(data)) !== listed.sha256) throw new WeightsError(`${listed.file} is not the file listed: load it again`);
  return data;
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
