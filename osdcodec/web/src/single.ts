// The page of one file, which holds decoder, weights and picture itself and asks nobody for anything (`osdc web --single`).
//
// Its data stand in <script> elements that browsers do not run: base64, and "about" as JSON.

import { Client } from "./client";
import { open, useClients } from "./page";
import type { Listed } from "./weights";

interface About {
  name: string;
  listed: Listed;
}

const text = (id: string) => document.getElementById(id)!.textContent!;

/** What single-worker.ts is given before the first request. */
export interface Load {
  runtime: ArrayBuffer; // WebAssembly
  weights: Uint8Array;
  trust?: Uint8Array; // graph of the map of trust
  listed: Listed;
}

function bytes(id: string): Uint8Array<ArrayBuffer> {
  const raw = atob(text(id));
  const found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  document.getElementById(id)!.remove(); // megabytes of text
  return found;
}

async function start(): Promise<void> {
  const { name, listed }: About = JSON.parse(text("about"));
  const picture = bytes("picture-data");
  const script = URL.createObjectURL(new Blob([text("worker")], { type: "text/javascript" }));
  const unpacked = new Blob([bytes("runtime")]).stream().pipeThrough(new DecompressionStream("gzip"));
  const load: Load = { runtime: await new Response(unpacked).arrayBuffer(), weights: bytes("weights"), trust: listed.trust && bytes("trust-graph"), listed };
  useClients(() => {
    const worker = new Worker(script);
    worker.postMessage(load);
    return new Client({ worker });
  });
  await open(picture, name);
}

void start();
