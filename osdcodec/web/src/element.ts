// <osd-image src="photo.osd" alt="…"> shows an .osd file as <img> does others; what stands inside it is shown where that fails.
//
//   <script type="module" src="osd-image.js"></script>
//   <osd-image src="photo.osd" alt="A cat"><img src="photo.jpg" alt="A cat"></osd-image>
//
// detail and seed as of `osdc decode`. Events: preview, load, error (with `message`). Width follows CSS, height the picture.

import { Client, type Handle } from "./client";
import { info, type Info } from "./container";
import { draw, shown } from "./show";

// A sheet and no <style>, for which a Content-Security-Policy would have to allow 'unsafe-inline'.
const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  :host { display: inline-block; max-width: 100%; }
  :host([hidden]) { display: none; }
  canvas { display: block; width: 100%; height: auto; }
  canvas[hidden] { display: none; }
`);
let shared: Client | undefined;

/** The decoder that all elements share; a new one if the last could not be started. */
function client(): Client {
  if (!shared || shared.failed) shared = new Client();
  return shared;
}

interface Opened {
  handle: Handle;
  facts: Info;
}

export class OsdImage extends HTMLElement {
  static observedAttributes = ["src", "alt", "detail", "seed"];
  private readonly canvas = document.createElement("canvas");
  private readonly fallback = document.createElement("slot");
  private opened?: Opened; // the file of the present src
  private loading?: AbortController; // of the present src, until it is opened
  private released = false; // it was taken out of its document, and holds nothing any more
  private turn = 0; // answers that belong to an earlier one change nothing

  constructor() {
    super();
    this.canvas.hidden = true;
    this.canvas.setAttribute("role", "img");
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(this.canvas, this.fallback);
  }

  /** An element that was released and comes back loads its picture again. */
  connectedCallback(): void {
    if (this.released) void this.load();
  }

  /** An element that is moved is connected again before a microtask runs; only one that stays away is released. */
  disconnectedCallback(): void {
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.release();
      this.released = true;
    });
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after) return;
    if (name === "alt") this.canvas.setAttribute("aria-label", after ?? "");
    else if (name === "src") void this.load();
    else if (this.opened) void this.render(++this.turn, this.opened, false);
  }

  /** Loads, opens and shows the file of `src`, in place of all that came before. */
  private async load(): Promise<void> {
    this.release();
    this.released = false;
    const source = this.getAttribute("src");
    if (source === null) return this.blank();
    const turn = this.turn;
    const loading = (this.loading = new AbortController());
    try {
      const response = await fetch(new URL(source, document.baseURI), { signal: loading.signal });
      if (!response.ok) throw new Error(`the server says ${response.status}`);
      const data = new Uint8Array(await response.arrayBuffer());
      if (turn !== this.turn) return;
      const facts = info(data);
      const handle = await client().open(data);
      if (turn !== this.turn) return handle.close();
      this.loading = undefined;
      this.opened = { handle, facts };
    } catch (error) {
      return this.fail(turn, error as Error);
    }
    await this.render(turn, this.opened, true);
  }

  /** Shows an opened file by the attributes as they stand; first: its preview too. */
  private async render(turn: number, { handle, facts }: Opened, first: boolean): Promise<void> {
    try {
      const options = { detail: Number(this.getAttribute("detail") ?? 1), seed: BigInt(this.getAttribute("seed") ?? 0) };
      const preview = first && (await handle.preview(options));
      if (preview) this.paint(turn, preview, facts, "preview");
      if (turn === this.turn) this.paint(turn, await shown(handle, facts, options), facts, "load");
    } catch (error) {
      this.fail(turn, error as Error);
    }
  }

  private paint(turn: number, image: ImageData | ImageBitmap, { width, height }: Info, event: string): void {
    if (turn !== this.turn) return;
    this.canvas.style.maxWidth = `${width}px`;
    this.canvas.style.aspectRatio = `${width} / ${height}`;
    draw(this.canvas, image);
    this.canvas.hidden = false;
    this.fallback.hidden = true;
    this.dispatchEvent(new Event(event));
  }

  private fail(turn: number, error: Error): void {
    if (turn !== this.turn) return;
    this.loading = undefined;
    this.blank();
    this.dispatchEvent(new ErrorEvent("error", { message: error.message, error }));
  }

  /** Makes useless what is under way, and closes what is open. */
  private release(): void {
    this.turn++;
    this.loading?.abort();
    this.loading = undefined;
    this.opened?.handle.close();
    this.opened = undefined;
  }

  private blank(): void {
    this.canvas.hidden = true;
    this.fallback.hidden = false;
  }
}

if (!customElements.get("osd-image")) customElements.define("osd-image", OsdImage);
