// The page: open a file by choosing, dropping, pasting or ?src=, and look at it.

import { Client, type Handle } from "./client";
import { info, type Info } from "./container";
import type { Options } from "./decoder";
import type { FormatError } from "./errors";
import type { Provider } from "./networks";
import { draw, shown } from "./show";
import { TICKS, VIRIDIS, share, tinted } from "./trust";

const MAX_PIXELS = 2 ** 26; // a browser's canvas and memory end before the format does
const element = <Kind extends HTMLElement>(id: string) => document.getElementById(id) as Kind;
const canvas = element<HTMLCanvasElement>("picture");
const detail = element<HTMLInputElement>("detail");
const seed = element<HTMLInputElement>("seed");
const progress = element<HTMLProgressElement>("progress");
const trust = element<HTMLButtonElement>("trust");

const provider = (new URLSearchParams(location.search).get("provider") ?? undefined) as Provider | undefined;
let connect = () => new Client({ provider });
let client: Client | undefined;
let opened: { handle: Handle; name: string; facts: Info } | undefined;
let plain: ImageData | undefined; // the picture, while its map of trust is shown over it
let turn = 0; // what belongs to an earlier one is not shown

/** Makes the decoder otherwise than from the files beside this script. */
export function useClients(make: () => Client): void {
  connect = make;
}

/** Shows a picture in place of the one before. */
export async function open(data: Uint8Array, name: string): Promise<void> {
  const mine = ++turn;
  clear();
  try {
    const partial = isBeginning(data);
    const facts = info(data, MAX_PIXELS, partial);
    show(facts, name);
    say("Loading the decoder …");
    if (!client || client.failed) client = connect();
    const start = performance.now();
    const handle = await client.open(data, hear(mine), { maxPixels: MAX_PIXELS, partial });
    if (mine !== turn) return handle.close();
    opened = { handle, name, facts };
    const preview = await handle.preview();
    if (preview && mine === turn) paint(preview);
    await render(mine, start);
  } catch (error) {
    if (mine === turn) fail(error as Error, name);
  }
}

/** Whether a file is damaged or cut, but a progressive one of which something can be shown. */
function isBeginning(data: Uint8Array): boolean {
  try {
    info(data, MAX_PIXELS);
    return false;
  } catch (error) {
    return (error as FormatError).field === "checksum" && (data[4] & 2) > 0;
  }
}

/** The whole picture, by the dials as they stand. */
async function render(mine: number, start = performance.now()): Promise<void> {
  const { handle, facts } = opened!;
  say("Decoding …");
  const picture = await shown(handle, facts, options(), hear(mine));
  if (mine !== turn) return;
  paint(picture, facts);
  if (mapped()) await overlay(mine);
  if (mine !== turn) return;
  progress.hidden = true;
  const cut = facts.missingBytes ? ` The file is cut: ${facts.payloadBytes} of ${facts.payloadBytes + facts.missingBytes} bytes are there.` : "";
  say(`Decoded in ${((performance.now() - start) / 1000).toFixed(1)} s, on this device.${cut}`);
  element("controls").hidden = false;
}

/** While a dial moves: the coarse picture at once, the whole one when the decoder is free; only the last position counts. */
let moving: Promise<void> | undefined;
let moved = false;
function dial(): void {
  element("detail-value").textContent = detail.value;
  if (!opened || !seed.validity.valid) return;
  moved = true;
  moving ??= follow().finally(() => (moving = undefined));
}

async function follow(): Promise<void> {
  const mine = turn;
  try {
    while (moved && mine === turn) {
      moved = false;
      await render(mine);
    }
  } catch (error) {
    if (mine === turn) fail(error as Error, opened?.name ?? "");
  }
}

/** Whether the map of trust is to be seen. */
function mapped(): boolean {
  return trust.getAttribute("aria-pressed") === "true";
}

function showMap(on: boolean): void {
  trust.setAttribute("aria-pressed", String(on));
  element("legend").hidden = !on;
  if (plain && !on) draw(canvas, plain);
  plain = undefined;
}

async function toggle(): Promise<void> {
  if (!opened || element("controls").hidden) return;
  showMap(!mapped());
  const [mine, { name }] = [turn, opened];
  try {
    if (mapped()) await overlay(mine);
  } catch (error) {
    showMap(false);
    if (mine === turn) fail(error as Error, name);
  }
}

/** The map over the picture, unless something else is shown by the time it comes. */
async function overlay(mine: number): Promise<void> {
  const map = await opened!.handle.trust(options());
  if (mine !== turn || moved || plain || !mapped()) return;
  plain = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
  draw(canvas, new ImageData(tinted(plain, map).data as Uint8ClampedArray<ArrayBuffer>, canvas.width, canvas.height));
}

function options(): Options {
  return { detail: Number(detail.value), seed: BigInt.asUintN(64, BigInt(seed.value || 0)) };
}

function paint(image: ImageData | ImageBitmap, facts?: Info): void {
  draw(canvas, image);
  plain = undefined;
  canvas.style.width = facts ? "" : `${2 * image.width}px`; // a preview takes the place of the picture
  canvas.hidden = false;
  element("invite").hidden = true;
  element("drop").classList.add("full");
}

function show(facts: Info, name: string): void {
  const { sections } = facts;
  const held = Object.entries({ A: "alpha", G: "regions of interest", p: "flat background", i: "colour profile", e: "EXIF", x: "XMP" })
    .filter(([kind]) => kind in sections)
    .map(([, what]) => what);
  const carried = [...(facts.grey ? ["grey"] : []), ...(facts.progressive ? ["progressive"] : []), ...held];
  const rows: [string, string][] = [
    ["Name", name],
    ["Size", `${facts.width} × ${facts.height} pixels`],
    ["Bytes", `${facts.bytes.toLocaleString()}, ${facts.bpp.toFixed(4)} bits per pixel`],
    ["Pixels", `${Math.round((3 * facts.width * facts.height) / facts.bytes).toLocaleString()} times as many bytes`],
    ["Quality", `λ ${facts.lambda.toPrecision(3)} (best 0.1, smallest 2)`],
    ["Model", facts.modelId],
    ...(carried.length ? [["With", carried.join(", ")] as [string, string]] : []),
  ];
  element("list").replaceChildren(
    ...rows.flatMap(([term, text]) => [Object.assign(document.createElement("dt"), { textContent: term }), Object.assign(document.createElement("dd"), { textContent: text })]),
  );
  element("facts").hidden = false;
  canvas.setAttribute("aria-label", `${name}, ${facts.width} by ${facts.height} pixels`);
  document.title = `${name} – osdc`;
}

function hear(mine: number) {
  return ({ stage, share }: { stage: string; share: number }) => {
    if (mine !== turn) return;
    progress.hidden = false;
    progress.value = share;
    say(stage === "weights" ? `Loading the decoder, once: ${Math.round(100 * share)} %` : "Decoding …");
  };
}

function say(text: string): void {
  element("status").textContent = text;
}

function clear(): void {
  if (!progress.hidden) {
    client?.terminate(); // a large picture under way would keep this one waiting
    client = undefined;
  } else opened?.handle.close();
  opened = undefined;
  progress.hidden = true;
  element("error").textContent = "";
}

function fail(error: Error, name: string): void {
  progress.hidden = true;
  say("");
  element("error").textContent = `${name ? `${name}: ` : ""}${error.message}`;
  if (opened) return;
  canvas.hidden = true;
  element("controls").hidden = true;
  element("facts").hidden = true;
  element("invite").hidden = false;
  element("drop").classList.remove("full");
  document.title = "osdc";
}

async function openFile(file: Blob & { name?: string }): Promise<void> {
  await open(new Uint8Array(await file.arrayBuffer()), file.name || "pasted picture");
}

export async function openLink(link: string): Promise<void> {
  const name = link.split(/[?#]/)[0].split("/").pop() || link;
  try {
    const url = new URL(link, location.href);
    if (!["http:", "https:"].includes(url.protocol)) throw new Error("only http and https links are opened");
    say("Loading the picture …");
    const response = await fetch(url).catch(() => {
      throw new Error(url.origin === location.origin ? "the server cannot be reached" : "the other site cannot be reached, or does not let pages read its files (CORS)");
    });
    if (!response.ok) throw new Error(`the server says ${response.status}`);
    await open(new Uint8Array(await response.arrayBuffer()), decodeURIComponent(name));
  } catch (error) {
    fail(error as Error, name);
  }
}

element<HTMLInputElement>("file").addEventListener("change", (event) => {
  const input = event.target as HTMLInputElement;
  const [file] = input.files ?? [];
  input.value = ""; // so that the same file can be chosen again
  if (file) void openFile(file);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  element("drop").classList.add("over");
});
document.addEventListener("dragleave", () => element("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  element("drop").classList.remove("over");
  const [file] = event.dataTransfer?.files ?? [];
  const link = event.dataTransfer?.getData("text/uri-list").split("\n")[0];
  if (file) void openFile(file);
  else if (link) void openLink(link);
});
document.addEventListener("paste", (event) => {
  if (event.target instanceof HTMLInputElement) return;
  const [file] = event.clipboardData?.files ?? [];
  const link = event.clipboardData?.getData("text/plain").trim();
  if (file) void openFile(file);
  else if (link) void openLink(link);
});
element("ramp").style.background = `linear-gradient(to right, ${VIRIDIS.map((colour) => `rgb(${colour})`)})`;
element("ticks").replaceChildren(
  ...TICKS.map((levels, n) => {
    const tick = Object.assign(document.createElement("span"), { textContent: n === TICKS.length - 1 ? `${levels}+` : `${levels}` });
    tick.style.left = `${100 * share(levels)}%`;
    tick.style.transform = `translateX(-${100 * share(levels)}%)`;
    return tick;
  }),
);
trust.addEventListener("click", () => void toggle());
document.addEventListener("keydown", ({ key, target, ctrlKey, metaKey, altKey }) => {
  const typing = target instanceof HTMLInputElement && target.type === "text";
  if (key === "t" && !typing && !ctrlKey && !metaKey && !altKey) void toggle();
});
detail.addEventListener("input", dial);
seed.addEventListener("input", dial);
element("another").addEventListener("click", () => {
  seed.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  dial();
});
element("other").addEventListener("click", () => element("file").click());
element("controls").addEventListener("submit", (event) => event.preventDefault());
element("save").addEventListener("click", async () => {
  if (!opened) return;
  const { handle, name } = opened;
  try {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await handle.png(options()));
    link.download = `${name.replace(/\.osd$/i, "")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    fail(error as Error, name);
  }
});
