// The decoder in a worker of a page that holds everything itself: the first message brings runtime and weights.

import * as ort from "onnxruntime-web/wasm";
import { WeightsError } from "./errors";
import { Networks, type Runtime } from "./networks";
import type { Numbered } from "./protocol";
import { Service } from "./service";
import type { Load } from "./single";
import { checkedTrust, loadWeights } from "./weights";

self.onmessage = ({ data: { runtime, weights, trust, listed } }: MessageEvent<Load>) => {
  ort.env.wasm.wasmBinary = runtime;
  ort.env.wasm.numThreads = 1; // a page from a file gets no more
  const service = new Service(async (modelId) => {
    if (modelId !== listed.model_id) throw new WeightsError(`the file is of model ${modelId}, which this page does not have: it has ${listed.model_id}`);
    const model = await loadWeights(weights, listed);
    if (trust && listed.trust) model.trust = () => checkedTrust(trust, listed.trust!);
    return new Networks(ort as unknown as Runtime, model);
  });
  self.onmessage = ({ data }: MessageEvent<Numbered>) => service.hear(data);
};
