// The decoder in a worker of the site: models.json, weights and runtime lie beside this script.

import type { Decoding } from "./decoder";
import { WeightsError } from "./errors";
import { seesGpu } from "./gpu";
import type { Networks } from "./networks";
import type { Picture } from "./picture";
import type { Numbered } from "./protocol";
import { openNetworks } from "./runtime";
import { Service } from "./service";
import { checkedTrust, loadWeights, type Listed } from "./weights";

const provider = new URL(import.meta.url).searchParams.get("provider");

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
  const loaded = await loadWeights(data.subarray(0, at), model);
  const { trust } = model;
  if (trust) {
    loaded.trust = async () => {
      const response = await fetched(`${trust.file}?${trust.sha256.slice(0, 16)}`);
      return checkedTrust(new Uint8Array(await response.arrayBuffer()), trust);
    };
  }
  return openNetworks(loaded, provider === "webgpu" ? "webgpu" : "wasm");
}

async function fetched(name: string, cache: RequestCache = "default"): Promise<Response> {
  const response = await fetch(new URL(name, import.meta.url), { cache });
  if (!response.ok) throw new WeightsError(`${name} cannot be loaded: the server says ${response.status}`);
  return response;
}

/** WebGPU's networks, if it is there, gives the same picture and is faster. */
async function quicker(decoding: Decoding): Promise<Networks | undefined> {
  const before = decoding.networks;
  try {
    if (!(await seesGpu())) return undefined;
    const timed = async (): Promise<[number, Picture]> => {
      const start = performance.now();
      const picture = await decoding.picture();
      return [performance.now() - start, picture];
    };
    const [slow, expected] = await timed();
    decoding.networks = await openNetworks(before.model, "webgpu");
    await timed(); // compiles the shaders
    const [quick, found] = await timed();
    return quick <= slow && alike(expected, found) ? decoding.networks : undefined;
  } catch {
    return undefined;
  } finally {
    decoding.networks = before;
  }
}

/** Within the tolerance of the conformance vectors. */
function alike(a: Picture, b: Picture): boolean {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i] - b.data[i]) ** 2;
  return sum <= 0.25 * 0.75 * a.data.length;
}

const service = new Service(load, provider === null ? quicker : undefined);
self.onmessage = ({ data }: MessageEvent<Numbered>) => service.hear(data);
