// The decoder as a page sees it: everything costly is done in a worker.
//
//   const client = new Client();
//   const handle = await client.open(bytes, (progress) => …);
//   context.putImageData(await handle.picture({ detail: 1, seed: 0 }), 0, 0);

import type { Options } from "./decoder";
import type { Provider } from "./networks";
import type { Picture } from "./picture";
import type { Numbered, Progress, Reply, Request } from "./protocol";
import type { TrustMap } from "./trust";

type Listener = (progress: Progress) => void;

/** One opened file. Its picture can be asked for again with another detail or seed, which is quicker than the first time. */
export interface Handle {
  /** Half the size and coarse, at once; undefined if the model has none. */
  preview(options?: Options): Promise<ImageData | undefined>;
  picture(options?: Options, progress?: Listener): Promise<ImageData>;
  /** The picture as PNG, with alpha, colour profile and metadata as far as the file has them. */
  png(options?: Options): Promise<Blob>;
  /** How far the picture is likely to be off, place by place. Fails if the weights have no map. */
  trust(options?: Options): Promise<TrustMap>;
  close(): void;
}

export class Client {
  /** Why nothing can be asked for any more: the worker did not start, or was ended. */
  failed?: Error;
  private readonly worker: Worker;
  private readonly waiting = new Map<number, { resolve(value: any): void; reject(error: Error): void; progress?: Listener }>();
  private count = 0;

  /**
   * base: where worker.js, models.json and the weights lie (default: beside this script). provider: what runs the networks; left
   * out, WebAssembly does, and WebGPU instead as soon as it has proved to be faster here. worker: one that runs already.
   */
  constructor({ base = import.meta.url, provider, worker }: { base?: string | URL; provider?: Provider; worker?: Worker } = {}) {
    this.worker = worker ?? startWorker(new URL(`worker.js${provider ? `?provider=${provider}` : ""}`, base));
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => this.hear(data);
    this.worker.onerror = (event) => this.fail(new Error(event.message || "the decoder could not be started"));
  }

  /** Entropy-decodes a file, once its weights are loaded. Errors have the names of errors.ts. */
  async open(data: Uint8Array, progress?: Listener, options: { maxPixels?: number; partial?: boolean } = {}): Promise<Handle> {
    const id = ++this.count;
    await this.ask({ call: "open", id, data, ...options }, progress);
    const image = (picture: Picture) => new ImageData(picture.data as Uint8ClampedArray<ArrayBuffer>, picture.width, picture.height);
    return {
      preview: async (options = {}) => {
        const found = await this.ask<Picture | undefined>({ call: "preview", id, options });
        return found && image(found);
      },
      picture: async (options = {}, listener) => image(await this.ask<Picture>({ call: "picture", id, options }, listener)),
      png: (options = {}) => this.ask<Blob>({ call: "png", id, options }),
      trust: (options = {}) => this.ask<TrustMap>({ call: "trust", id, options }),
      close: () => void this.ask({ call: "close", id }).catch(() => undefined), // a worker that has ended holds nothing
    };
  }

  /** Ends the worker; what was asked for and has not come fails. */
  terminate(): void {
    this.worker.terminate();
    this.fail(new DOMException("stopped", "AbortError"));
  }

  private ask<Value>(request: Request, progress?: Listener): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      if (this.failed) return reject(this.failed);
      const number = ++this.count;
      this.waiting.set(number, { resolve, reject, progress });
      this.worker.postMessage({ ...request, number } satisfies Numbered);
    });
  }

  private hear({ number, progress, value, error }: Reply): void {
    const asked = this.waiting.get(number);
    if (progress) return asked?.progress?.(progress);
    this.waiting.delete(number);
    if (error) asked?.reject(Object.assign(new Error(error.message), { name: error.name }));
    else asked?.resolve(value);
  }

  private fail(error: Error): void {
    this.failed = error;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

/** A worker from any origin: those of others are imported by a blob, for browsers start workers of the page's own origin only. */
function startWorker(url: URL): Worker {
  const origin = new URL(location.href).origin;
  if (url.origin === origin) return new Worker(url, { type: "module" });
  const blob = URL.createObjectURL(new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" }));
  const worker = new Worker(blob, { type: "module" });
  setTimeout(() => URL.revokeObjectURL(blob), 60_000); // it has been read by then
  return worker;
}
