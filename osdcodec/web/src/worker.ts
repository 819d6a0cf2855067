// The decoder in a worker: one file after the other, so that a page stays alive.

import { unpack } from "./container";
import { Decoding } from "./decoder";
import { OsdError, WeightsError } from "./errors";
import { seesGpu } from "./gpu";
import type { Networks } from "./networks";
import type { Picture } from "./picture";
import { encodePng } from "./png";
import type { Numbered, Progress, Reply } from "./protocol";
import { openNetworks } from "./runtime";
import { loadWeights, type Listed } from "./weights";

const decodings = new Map<number, Decoding>();
const models = new Map<string, Promise<Networks>>();
const provider = new URL(self.location.href).searchParams.get("provider");
let queue: Promise<unknown> = Promise.resolve();
let pictures = 0;

self.onmessage = ({ data: request }: MessageEvent<Numbered>) => {
  queue = queue.then(() => answer(request));
};

async function answer(request: Numbered): Promise<void> {
  const { number } = request;
  try {
    const value = await serve(request, (progress) => say({ number, progress }));
    say({ number, value }, value instanceof Object && "data" in value ? [(value as Picture).data.buffer as ArrayBuffer] : []);
  } catch (error) {
    say({ number, error: explain(error) });
  }
}

function say(reply: Reply, transfer: Transferable[] = []): void {
  self.postMessage(reply, { transfer });
}

async function serve(request: Numbered, tell: (progress: Progress) => void): Promise<unknown> {
  const progress = (share: number) => tell({ stage: "picture", share });
  if (request.call === "open") {
    const { modelId } = unpack(request.data, request.maxPixels, request.partial);
    const networks = await networksOf(modelId, (share) => tell({ stage: "weights", share }));
    const { maxPixels, partial } = request;
    decodings.set(request.id, await Decoding.open(request.data, networks, { progress, maxPixels, partial }));
    return undefined;
  }
  if (request.call === "close") return void decodings.delete(request.id);
  const decoding = decodings.get(request.id);
  if (!decoding) throw new OsdError("this picture was closed");
  if (request.call === "preview") return decoding.preview(request.options);
  const picture = await decoding.picture(request.options, progress);
  if (++pictures === 2 && provider === null) queue = queue.then(() => race(decoding)); // someone plays with the dials
  return request.call === "png" ? encodePng(picture, decoding.osd.sections) : picture;
}

/** Loaded once; what failed is tried again at the next file. */
function networksOf(modelId: string, progress: (share: number) => void): Promise<Networks> {
  const found = models.get(modelId) ?? load(modelId, progress);
  models.set(modelId, found);
  found.catch(() => models.delete(modelId));
  return found;
}

async function load(modelId: string, progress: (share: number) => void): Promise<Networks> {
  const listed: Listed[] = await (await fetched("models.json", "no-cache")).json();
  const model = listed.find(({ model_id }) => model_id === modelId);
  if (!model) throw new WeightsError(`the file is of model ${modelId}, which this page does not have: it has ${listed.map((one) => one.model_id)}`);
  // The hash is part of the address, so that a browser may keep the file for as long as it likes.
  const response = await fetched(`${model.file}?${model.sha256.slice(0, 16)}`);
  const data = new Uint8Array(model.bytes);
  let at = 0;
  const reader = response.body!.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length > data.length) throw new WeightsError("the weights are longer than listed: load them again");
    data.set(part.value, at);
    at += part.value.length;
    progress(at / data.length);
  }
  return openNetworks(await loadWeights(data.subarray(0, at), model), provider === "webgpu" ? "webgpu" : "wasm");
}

async function fetched(name: string, cache: RequestCache = "default"): Promise<Response> {
  const response = await fetch(new URL(name, import.meta.url), { cache });
  if (!response.ok) throw new WeightsError(`${name} cannot be loaded: the server says ${response.status}`);
  return response;
}

/** WebGPU takes over if it is there, gives the same picture and is faster. */
async function race(decoding: Decoding): Promise<void> {
  const before = decoding.networks;
  try {
    if (!(await seesGpu())) return;
    const timed = async (): Promise<[number, Picture]> => {
      const start = performance.now();
      const picture = await decoding.picture();
      return [performance.now() - start, picture];
    };
    const [slow, expected] = await timed();
    decoding.networks = await openNetworks(before.model, "webgpu");
    await timed(); // compiles the shaders
    const [quick, found] = await timed();
    if (quick > slow || !alike(expected, found)) throw new Error("no gain");
    models.set(before.model.modelId, Promise.resolve(decoding.networks));
    for (const other of decodings.values()) if (other.networks === before) other.networks = decoding.networks;
  } catch {
    decoding.networks = before; // as it was
  }
}

/** Within the tolerance of the conformance vectors. */
function alike(a: Picture, b: Picture): boolean {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i] - b.data[i]) ** 2;
  return sum <= 0.25 * 0.75 * a.data.length;
}

function explain(error: unknown): { name: string; message: string } {
  const { name = "Error", message = String(error) } = (error ?? {}) as Error;
  const memory = error instanceof RangeError || /memory|alloc/i.test(message);
  return memory && !(error instanceof OsdError) ? { name, message: "the picture is too large for this browser's memory" } : { name, message };
}
