// What a worker answers: one file after the other, so that a page stays alive.

import { unpack } from "./container";
import { Decoding } from "./decoder";
import { OsdError } from "./errors";
import type { Networks } from "./networks";
import type { Picture } from "./picture";
import { encodePng } from "./png";
import type { Numbered, Progress, Reply } from "./protocol";

export type Load = (modelId: string, progress: (share: number) => void) => Promise<Networks>;
/** Returns networks of the same model that are quicker, if there are some. */
export type Quicker = (decoding: Decoding) => Promise<Networks | undefined>;

export class Service {
  private readonly decodings = new Map<number, Decoding>();
  private readonly models = new Map<string, Promise<Networks>>();
  private queue: Promise<unknown> = Promise.resolve();
  private pictures = 0;

  /** quicker: asked after the second picture, for then someone plays with the dials. */
  constructor(
    private readonly load: Load,
    private readonly quicker?: Quicker,
  ) {}

  /** Answers a request when those before it are answered. */
  hear(request: Numbered): void {
    this.queue = this.queue.then(() => this.answer(request));
  }

  private async answer(request: Numbered): Promise<void> {
    const { number } = request;
    try {
      const value = await this.find(request, (progress) => say({ number, progress }));
      say({ number, value }, value instanceof Object && "data" in value ? [(value as Picture).data.buffer as ArrayBuffer] : []);
    } catch (error) {
      say({ number, error: explain(error) });
    }
  }

  private async find(request: Numbered, tell: (progress: Progress) => void): Promise<unknown> {
    const progress = (share: number) => tell({ stage: "picture", share });
    if (request.call === "open") {
      const { id, data, maxPixels, partial } = request;
      const { modelId } = unpack(data, maxPixels, partial);
      const networks = await this.networksOf(modelId, (share) => tell({ stage: "weights", share }));
      this.decodings.set(id, await Decoding.open(data, networks, { progress, maxPixels, partial }));
      return undefined;
    }
    if (request.call === "close") return void this.decodings.delete(request.id);
    const decoding = this.decodings.get(request.id);
    if (!decoding) throw new OsdError("this picture was closed");
    if (request.call === "preview") return decoding.preview(request.options);
    if (request.call === "trust") return decoding.trust(request.options);
    const picture = await decoding.picture(request.options, progress);
    if (++this.pictures === 2) this.queue = this.queue.then(() => this.replace(decoding));
    return request.call === "png" ? encodePng(picture, decoding.osd.sections) : picture;
  }

  /** Loaded once; what failed is tried again at the next file. */
  private networksOf(modelId: string, progress: (share: number) => void): Promise<Networks> {
    const found = this.models.get(modelId) ?? this.load(modelId, progress);
    this.models.set(modelId, found);
    found.catch(() => this.models.delete(modelId));
    return found;
  }

  private async replace(decoding: Decoding): Promise<void> {
    const before = decoding.networks;
    const found = await this.quicker?.(decoding);
    if (!found) return;
    this.models.set(before.model.modelId, Promise.resolve(found));
    for (const other of this.decodings.values()) if (other.networks === before) other.networks = found;
  }
}

function say(reply: Reply, transfer: Transferable[] = []): void {
  self.postMessage(reply, { transfer });
}

function explain(error: unknown): { name: string; message: string } {
  const { name = "Error", message = String(error) } = (error ?? {}) as Error;
  const memory = error instanceof RangeError || /memory|alloc/i.test(message);
  return memory && !(error instanceof OsdError) ? { name, message: "the picture is too large for this browser's memory" } : { name, message };
}
