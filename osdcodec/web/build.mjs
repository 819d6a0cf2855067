// esbuild: src/ -> build/site, the page and the library as a web server takes them (without weights, which `osdc web` adds);
// and -> build/single, of which `osdc web --single` makes one file; with --tests: test/ -> build/tests.

import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const packages = join(here, "node_modules");

async function buildSite() {
  const site = join(here, "build/site");
  await rm(site, { recursive: true, force: true });
  await mkdir(site, { recursive: true });
  await build({
    entryPoints: { osdc: "osdc.ts", "osd-image": "element.ts", worker: "worker.ts", page: "main.ts" },
    absWorkingDir: join(here, "src"),
    outdir: site,
    bundle: true,
    splitting: true, // WebGPU's part of the runtime is loaded where it is used
    chunkNames: "runtime-[hash]",
    minify: true,
    format: "esm",
    target: "es2022",
    conditions: ["onnxruntime-web-use-extern-wasm"],
    legalComments: "none",
    logLevel: "warning",
  });
  for (const name of ["index.html", "page.css"]) await copyFile(join(here, "src", name), join(site, name));
  for (const kind of ["", ".asyncify"]) {
    for (const suffix of ["mjs", "wasm"]) {
      const name = `ort-wasm-simd-threaded${kind}.${suffix}`;
      await copyFile(join(packages, "onnxruntime-web/dist", name), join(site, name));
    }
  }
  const notices = ["onnxruntime-web", "onnxruntime-common", "@noble/hashes"].map(async (name) => {
    const { version, license } = JSON.parse(await readFile(join(packages, name, "package.json"), "utf8"));
    return `${name} ${version} (${license})`;
  });
  await writeFile(join(site, "NOTICES.txt"), `This site holds parts of\n\n${(await Promise.all(notices)).join("\n")}\n`);
}

/** The page of one file, with a place for its data, and the runtime, which it unpacks itself. */
async function buildSingle() {
  const folder = join(here, "build/single");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const script = async (name, format, define) => {
    const { outputFiles } = await build({
      entryPoints: [join(here, "src", name)],
      write: false,
      bundle: true,
      minify: true,
      format,
      define,
      target: "es2022",
      legalComments: "none",
      logLevel: "warning",
    });
    return outputFiles[0].text;
  };
  const [page, worker] = await Promise.all([
    script("single.ts", "esm"),
    script("single-worker.ts", "iife", { "import.meta.url": "self.location.href" }), // a page from a file cannot start modules
  ]);
  const style = await readFile(join(here, "src/page.css"), "utf8");
  const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  // Nothing is asked of anybody: connect-src falls back to 'none'.
  const policy = `default-src 'none'; script-src ${hash(page)} blob: 'wasm-unsafe-eval'; worker-src blob:; style-src ${hash(style)}; img-src blob: data:; form-action 'none'`;
  const put = (text, pattern, replacement) => {
    if (!pattern.test(text)) throw new Error(`src/index.html has no ${pattern}`);
    return text.replace(pattern, () => replacement);
  };
  let html = await readFile(join(here, "src/index.html"), "utf8");
  html = put(html, /content="default-src [^"]*"/, `content="${policy}"`);
  html = put(html, /<link rel="stylesheet"[^>]*>/, `<style>${style}</style>`);
  html = put(html, /<script type="module"[^>]*><\/script>/, "");
  const data = `<!-- data --><script type="text/plain" id="worker">${worker}</script>`;
  html = put(html, /<\/body>/, `${data}<script type="module">${page}</script></body>`);
  await writeFile(join(folder, "template.html"), html);
  const runtime = await readFile(join(packages, "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"));
  await writeFile(join(folder, "runtime.wasm.gz"), gzipSync(runtime, { level: 9 }));
}

async function buildTests() {
  const entryPoints = [join(here, "test/measure.ts")];
  for (const kind of ["node", "browser", "webgpu"]) {
    const folder = join(here, "test", kind);
    const names = (await readdir(folder)).filter((name) => name.endsWith(".test.ts"));
    entryPoints.push(...names.map((name) => join(folder, name)));
  }
  await build({
    entryPoints,
    outdir: join(here, "build/tests"),
    outbase: join(here, "test"),
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    external: ["/harness.js"], // the page loads it
    logLevel: "warning",
  });
}

await (process.argv.includes("--tests") ? buildTests() : Promise.all([buildSite(), buildSingle()]));
