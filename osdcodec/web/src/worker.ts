// The decoder in a worker: one file after the other, so that a page stays alive.

import { MAX_PIXELS, unpack } from "./container";
import { Decoding, type Picture } from "./decoder";
import { OsdError, WeightsError } from "./errors";
import type { Networks } from "./networks";
import { encodePng } from "./png";
import type { Numbered, Progress, Reply } from "./protocol";
import { openNetworks } from "./runtime";
import { loadWeights, type Listed } from "./weights";

const decodings = new Map<number, Decoding>();
const models = new Map<string, Promise<Networks>>();
let queue: Promise<unknown> = Promise.resolve();

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
    const { modelId } = unpack(request.data, request.maxPixels ?? MAX_PIXELS);
    const networks = await networksOf(modelId, (share) => tell({ stage: "weights", share }));
    decodings.set(request.id, await Decoding.open(request.data, networks, progress, request.maxPixels));
    return undefined;
  }
  if (request.call === "close") return void decodings.delete(request.id);
  const decoding = decodings.get(request.id);
  if (!decoding) throw new OsdError("this picture was closed");
  if (request.call === "preview") return decoding.preview(request.options);
  const picture = await decoding.picture(request.options, progress);
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
  return openNetworks(await loadWeights(data.subarray(0, at), model), providerOf());
}

async function fetched(name: string, cache: RequestCache = "default"): Promise<Response> {
  const response = await fetch(new URL(name, import.meta.url), { cache });
  if (!response.ok) throw new WeightsError(`${name} cannot be loaded: the server says ${response.status}`);
  return response;
}

function providerOf(): "wasm" | "webgpu" {
  return new URL(import.meta.url).searchParams.get("provider") === "webgpu" ? "webgpu" : "wasm";
}

function explain(error: unknown): { name: string; message: string } {
  const { name = "Error", message = String(error) } = (error ?? {}) as Error;
  const memory = error instanceof RangeError || /memory|alloc/i.test(message);
  return memory && !(error instanceof OsdError) ? { name, message: "the picture is too large for this browser's memory" } : { name, message };
}
