// Times and memory beside the package: `npm run measure`. Processor seconds, not those of the clock, for both, each on one
// thread: what else a machine does matters little. Node runs the same code in the same engine as Chromium.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-web";
import { qualities, unpack } from "../src/container";
import { decode } from "../src/decoder";
import { Networks, type Runtime } from "../src/networks";
import { loadWeights, type Listed } from "../src/weights";
import { ROOT } from "./vectors";

const PYTHON = process.env.PYTHON ?? "python3";
const REPEATS = 5;

// The picture of `python -m osdcodec.checks.budgets`; prints processor seconds of decoding it, and of its symbols.
const SCRIPT = `
import json, sys, time
from osdcodec import container, weights
from osdcodec.codec import Decoder, Encoder
from osdcodec.model import decode_symbols
from osdcodec.evaluation.timing import rendered
from osdcodec.runtime.tiles import MARGINS
encoder = Encoder(device="cpu")
for width, height in ((768, 512), (3840, 2160)):
    open(f"{sys.argv[1]}/{width}.osd", "wb").write(encoder.encode(rendered(width, height)))
decoder, model = Decoder("cpu"), weights.load()
data = open(f"{sys.argv[1]}/768.osd", "rb").read()
prior, osd = model.prior, container.unpack(data)
def seconds(work):
    work()
    times = []
    for _ in range(${REPEATS}):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return sorted(times)[${REPEATS >> 1}]
listed = weights.entry(model.path, model.profile.name) | {"path": str(model.path), "margins": MARGINS[model.profile.name]}
times = [seconds(lambda: decoder.decode(data)), seconds(lambda: decode_symbols(osd, prior))]
print(json.dumps(times + [listed]))
`;

async function seconds(work: () => unknown, repeats = REPEATS, warm = 1): Promise<number> {
  for (let i = 0; i < warm; i++) await work();
  const times = [];
  for (let i = 0; i < repeats; i++) {
    const start = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(start);
    times.push((user + system) / 1e6);
  }
  return times.sort((a, b) => a - b)[repeats >> 1];
}

const folder = mkdtempSync(join(tmpdir(), "osdc-measure-"));
const environment = { ...process.env, OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1" };
const told = execFileSync(PYTHON, ["-c", SCRIPT, folder], { cwd: ROOT, env: environment, encoding: "utf8" });
const [decoding, entropy, listed]: [number, number, Listed & { path: string }] = JSON.parse(told);

ort.env.wasm.numThreads = 1;
const bytes = new Uint8Array(readFileSync(listed.path));
const networks = new Networks(ort as unknown as Runtime, await loadWeights(bytes, listed));
const read = (name: string) => new Uint8Array(readFileSync(join(folder, name)));
const [data, large] = [read("768.osd"), read("3840.osd")];
const osd = unpack(data);
const { prior } = networks.model;
const whole = await seconds(() => decode(data, networks));
const symbols = await seconds(() => prior.decode(osd, qualities(osd, prior.stride, ...prior.size(osd))));
const mebibytes = () => process.resourceUsage().maxRSS / 1024;
const small = mebibytes();
const first = await seconds(() => decode(large, networks), 1, 0);
const rows: [string, string][] = [
  ["decode 768x512, warm", `${whole.toFixed(2)} s, ${(whole / decoding).toFixed(1)} times the package's ${decoding.toFixed(2)} s`],
  ["symbols of it", `${symbols.toFixed(3)} s, ${(symbols / entropy).toFixed(1)} times NumPy's ${entropy.toFixed(3)} s`],
  ["peak memory of it, the runtime and 768x512", `${small.toFixed(0)} MiB`],
  ["decode 3840x2160", `${first.toFixed(1)} s`],
  ["peak memory then", `${mebibytes().toFixed(0)} MiB`],
];
for (const [what, measured] of rows) console.log(`| ${what} | ${measured} |`);
rmSync(folder, { recursive: true });
