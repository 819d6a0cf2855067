// onnxruntime-web in a browser: its files lie beside this script.

import * as wasm from "onnxruntime-web/wasm";
import { Networks, type Provider, type Runtime } from "./networks";
import type { Model } from "./weights";

const MOST_THREADS = 8; // more do not help networks of this size

/** Networks of a model. Threads need a page that is isolated (COOP and COEP); elsewhere there is one. */
export async function openNetworks(model: Model, asked: Provider = "wasm"): Promise<Networks> {
  // On WebGPU onnxruntime-web 1.30 computes a convolution of 3x3 wrongly where its input channels are no multiple of four, and
  // says nothing: seen in the first layer of the conformance model, which has 18; the released models have 160.
  const provider = model.prior.latentChannels % 4 === 0 ? asked : "wasm";
  const ort = provider === "wasm" ? wasm : ((await import("onnxruntime-web/webgpu")) as unknown as typeof wasm);
  const name = provider === "wasm" ? "ort-wasm-simd-threaded" : "ort-wasm-simd-threaded.asyncify";
  ort.env.wasm.wasmPaths = { mjs: new URL(`${name}.mjs`, import.meta.url), wasm: new URL(`${name}.wasm`, import.meta.url) };
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  return new Networks(ort as unknown as Runtime, model, provider);
}
