// <osd-image src="photo.osd" alt="…"> shows an .osd file as <img> does others; what stands inside it is shown where that fails.
//
//   <script type="module" src="osd-image.js"></script>
//   <osd-image src="photo.osd" alt="A cat"><img src="photo.jpg" alt="A cat"></osd-image>
//
// detail and seed as of `osdc decode`. Events: preview, load, error (with `message`). Width follows CSS, height the picture.

import { Client, type Handle } from "./client";
import { info, type Info } from "./container";
import { draw, shown } from "./show";

const STYLE = `
  :host { display: inline-block; max-width: 100%; }
  :host([hidden]) { display: none; }
  canvas { display: block; width: 100%; height: auto; }
`;
let shared: Client | undefined;

export class OsdImage extends HTMLElement {
  static observedAttributes = ["src", "alt", "detail", "seed"];
  private readonly canvas = document.createElement("canvas");
  private readonly fallback = document.createElement("slot");
  private handle?: Handle;
  private facts?: Info;
  private turn = 0;

  constructor() {
    super();
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.canvas.hidden = true;
    this.canvas.setAttribute("role", "img");
    this.attachShadow({ mode: "open" }).append(style, this.canvas, this.fallback);
  }

  disconnectedCallback(): void {
    this.turn++;
    this.handle?.close();
    this.handle = undefined;
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after) return;
    if (name === "alt") this.canvas.setAttribute("aria-label", after ?? "");
    else if (name === "src") void this.show(() => this.load());
    else if (this.handle) void this.show(async () => undefined);
  }

  /** Each change makes what is under way useless. */
  private async show(prepare: () => Promise<void>): Promise<void> {
    const turn = ++this.turn;
    const current = () => turn === this.turn;
    try {
      await prepare();
      const handle = this.handle;
      if (!current() || !handle) return;
      const options = { detail: Number(this.getAttribute("detail") ?? 1), seed: BigInt(this.getAttribute("seed") ?? 0) };
      const preview = await handle.preview(options);
      if (preview && current() && this.canvas.hidden) this.paint(preview, "preview");
      const picture = await shown(handle, this.facts!, options);
      if (current()) this.paint(picture, "load");
    } catch (error) {
      if (!current()) return;
      this.canvas.hidden = true;
      this.fallback.hidden = false;
      this.dispatchEvent(new ErrorEvent("error", { message: (error as Error).message, error }));
    }
  }

  private async load(): Promise<void> {
    this.handle?.close();
    this.handle = undefined;
    const response = await fetch(new URL(this.getAttribute("src") ?? "", document.baseURI));
    if (!response.ok) throw new Error(`the server says ${response.status}`);
    const data = new Uint8Array(await response.arrayBuffer());
    this.facts = info(data);
    const { width, height } = this.facts;
    this.canvas.style.maxWidth = `${width}px`;
    this.canvas.style.aspectRatio = `${width} / ${height}`;
    shared ??= new Client();
    this.handle = await shared.open(data);
  }

  private paint(image: ImageData | ImageBitmap, event: string): void {
    draw(this.canvas, image);
    this.canvas.hidden = false;
    this.fallback.hidden = true;
    this.dispatchEvent(new Event(event));
  }
}

customElements.define("osd-image", OsdImage);
