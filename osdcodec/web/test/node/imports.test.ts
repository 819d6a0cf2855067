// Modules import each other one way only, types included.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../vectors";

test("no module of src/ depends on itself", () => {
  const source = join(ROOT, "osdcodec/web/src");
  const names = readdirSync(source).filter((name) => name.endsWith(".ts"));
  const imports = new Map(names.map((name) => {
    const text = readFileSync(join(source, name), "utf8");
    return [name, [...text.matchAll(/^(?:im|ex)port\b[^;]*? from "\.\/([^".]+)";/gm)].map(([, other]) => `${other}.ts`)];
  }));
  const done = new Set<string>();
  const walk = (name: string, path: string[]): void => {
    assert.ok(!path.includes(name), `a circle: ${[...path, name].join(" -> ")}`);
    assert.ok(imports.has(name), `${path.at(-1)} imports ${name}, which is not there`);
    if (done.has(name)) return;
    for (const other of imports.get(name)!) walk(other, [...path, name]);
    done.add(name);
  };
  for (const name of names) walk(name, []);
  assert.ok(imports.get("decoder.ts")!.includes("picture.ts"));
});
