// esbuild: src/ -> build/site, the page and the library as a web server takes them (without weights, which `osdc web` adds);
// with --tests: test/ -> build/tests.

import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const packages = join(here, "node_modules");

async function buildSite() {
  const site = join(here, "build/site");
  await rm(site, { recursive: true, force: true });
  await mkdir(site, { recursive: true });
  await build({
    entryPoints: { osdc: "osdc.ts", "osd-image": "element.ts", worker: "worker.ts", page: "page.ts" },
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

await (process.argv.includes("--tests") ? buildTests() : buildSite());
