// A browser, a static server, and a site that `osdc web` has written.

import { execFileSync } from "node:child_process";
import { createServer, type Server } from "node:http";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { build } from "esbuild";
import { chromium, type Browser } from "playwright-core";
import { ROOT } from "../vectors";

export const PYTHON = process.env.PYTHON ?? "python3";
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };

const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const OPEN = { "Access-Control-Allow-Origin": "*" };

export interface Stage {
  browser: Browser;
  site: string; // folder
  url: string; // of a server that isolates the page, so that there are threads
  plain: string; // of one that sends no such headers, and lets pages of other origins read its files
  strict: string; // of one that sends the Content-Security-Policy of README.md with everything
  close(): Promise<void>;
}

/** flags: of Chromium, beside those it always gets. */
export async function openStage(flags: string[] = ["--disable-gpu"]): Promise<Stage> {
  const site = mkdtempSync(join(tmpdir(), "osdc-site-"));
  execFileSync(PYTHON, ["-m", "osdcodec", "web", site], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
  addConformance(site);
  await build({
    entryPoints: [join(ROOT, "osdcodec/web/test/browser/harness.ts")],
    outfile: join(site, "harness.js"),
    bundle: true,
    format: "esm",
    logLevel: "warning",
  });
  const servers = await Promise.all([serve(site, ISOLATED), serve(site, OPEN), serve(site, { ...ISOLATED, "Content-Security-Policy": policy() })]);
  const [isolated, plain, strict] = servers;
  const browser = await launch(flags);
  return {
    browser,
    site,
    url: address(isolated),
    plain: address(plain),
    strict: address(strict),
    close: async () => {
      await browser.close();
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
      rmSync(site, { recursive: true });
    },
  };
}

export function launch(flags: string[]): Promise<Browser> {
  const always = "--no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...always.split(" "), ...flags] });
}

/** The model of the conformance vectors joins those of the site. */
function addConformance(site: string): void {
  const list = join(site, "models.json");
  const toml = readFileSync(join(ROOT, "spec/vectors/conformance/weights.toml"), "utf8");
  const text = (key: string) => toml.match(new RegExp(`^${key} = "?([^"\n]*)"?$`, "m"))![1];
  const model = { file: "conformance.safetensors", model_id: text("model_id"), sha256: text("sha256"), bytes: Number(text("bytes")) };
  writeFileSync(join(site, model.file), readFileSync(join(ROOT, "spec/vectors/conformance", model.file)));
  writeFileSync(list, JSON.stringify([...JSON.parse(readFileSync(list, "utf8")), model]));
}

/** The policy that README.md says a page with <osd-image> needs. */
function policy(): string {
  return readFileSync(join(ROOT, "osdcodec/web/README.md"), "utf8").match(/^Content-Security-Policy: (.*)$/m)![1];
}

/** Files of the site, and below /spec/ and /osdcodec/embedded/ those of the tree; ?delay=500 answers half a second later. */
async function serve(site: string, headers: Record<string, string>): Promise<Server> {
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url!, "http://x");
    await new Promise((done) => setTimeout(done, Number(searchParams.get("delay") ?? 0)));
    const path = decodeURIComponent(pathname);
    const file = /^\/(spec|osdcodec\/embedded)\//.test(path) ? join(ROOT, path) : join(site, path === "/" ? "index.html" : path);
    if (!existsSync(file)) return void response.writeHead(404).end();
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { "Content-Type": type, ...headers }).end(readFileSync(file));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

function address(server: Server): string {
  return `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
}
