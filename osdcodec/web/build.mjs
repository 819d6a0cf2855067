// esbuild: src/ -> build/site (the page and the library), or with --tests test/ -> build/tests.

import { build } from "esbuild";
import { cp, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

const here = import.meta.dirname;
const tests = process.argv.includes("--tests");

async function buildTests() {
  for (const kind of ["node", "browser"]) {
    const folder = join(here, "test", kind);
    const entryPoints = (await readdir(folder)).filter((name) => name.endsWith(".test.ts")).map((name) => join(folder, name));
    await build({
      entryPoints, outdir: join(here, "build/tests", kind), bundle: true, platform: "node", format: "esm", packages: "external",
      logLevel: "warning",
    });
  }
}

await (tests ? buildTests() : Promise.reject(new Error("not yet")));
