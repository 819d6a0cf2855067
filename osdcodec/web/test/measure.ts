// Times and memory beside the package: `npm run measure`, on a machine that has nothing else to do. WebAssembly on one thread, in
// Node, which is the engine of Chromium; `osdc decode`'s work in Python, warm, on one thread and on two. Both by the clock, and
// in processor seconds, which say something even on a busy machine.

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
type Times = [number, number]; // by the clock, of the processor

// Decodes the picture of `python -m osdcodec.maintenance.benchmarks.budgets`, or its symbols; prints the medians.
const SCRIPT = `
import json, statistics, sys, time
from osdcodec import container, weights
from osdcodec.codec import Decoder, Encoder
from osdcodec.latent.coder import decode_symbols
from osdcodec.evaluation.timing import rendered
from osdcodec.runtime.tiles import MARGINS
folder, first = sys.argv[1], sys.argv[2] == "1"
for width, height in ((768, 512), (3840, 2160)) if first else ():
    open(f"{folder}/{width}.osd", "wb").write(Encoder(device="cpu").encode(rendered(width, height)))
decoder, model = Decoder("cpu"), weights.load()
data = open(f"{folder}/768.osd", "rb").read()
prior, osd = model.prior, container.unpack(data)
def seconds(work):
    work()
    times = []
    for _ in range(${REPEATS}):
        clock, processor = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    return [statistics.median(column) for column in zip(*times)]
listed = weights.entry(model.path, model.profile.name) | {"path": str(model.path), "margins": MARGINS[model.profile.name]}
print(json.dumps([seconds(lambda: decoder.decode(data)), seconds(lambda: decode_symbols(osd, prior)), listed]))
`;

function python(threads: number): [Times, Times, Listed & { path: string }] {
  const count = String(threads);
  const environment = { ...process.env, OMP_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count };
  return JSON.parse(execFileSync(PYTHON, ["-c", SCRIPT, folder, count], { cwd: ROOT, env: environment, encoding: "utf8" }));
}

async function seconds(work: () => unknown, repeats = REPEATS, warm = 1): Promise<Times> {
  for (let i = 0; i < warm; i++) await work();
  const times: Times[] = [];
  for (let i = 0; i < repeats; i++) {
    const [clock, processor] = [performance.now(), process.cpuUsage()];
    await work();
    const { user, system } = process.cpuUsage(processor);
    times.push([(performance.now() - clock) / 1e3, (user + system) / 1e6]);
  }
  const median = (place: 0 | 1) => times.map((one) => one[place]).sort((a, b) => a - b)[repeats >> 1];
  return [median(0), median(1)];
}

const folder = mkdtempSync(join(tmpdir(), "osdc-measure-"));
const [[alone, entropy, listed], [pair]] = [python(1), python(2)];

ort.env.wasm.numThreads = 1;
const bytes = new Uint8Array(readFileSync(listed.path));
const networks = new Networks(ort as unknown as Runtime, await loadWeights(bytes, listed));
const read = (name: string) => new Uint8Array(readFileSync(join(folder, name)));
const [data, large] = [read("768.osd"), read("3840.osd")];
const osd = unpack(data);
const { prior } = networks.model;
const told = ([clock, processor]: Times) => `${clock.toFixed(2)} s, of the processor ${processor.toFixed(2)} s`;
const beside = (theirs: Times, ours: Times) => `${told(theirs)}: ${(ours[0] / theirs[0]).toFixed(1)} and ${(ours[1] / theirs[1]).toFixed(1)} times as much here`;
const mebibytes = () => `${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`;
const row = (what: string, measured: string) => console.log(`| ${what} | ${measured} |`);

row(`weights ${listed.model_id}`, "measured");
row("---", "---");
const whole = await seconds(() => decode(data, networks));
row("decode 768x512, warm", told(whole));
row("the package, on one thread", beside(alone, whole));
row("the package, on two threads", beside(pair, whole));
const symbols = await seconds(() => prior.decode(osd, qualities(osd, prior.stride, ...prior.size(osd))));
row("symbols of it", told(symbols));
row("NumPy, on one thread", beside(entropy, symbols));
row("peak memory until here, the runtime and 768x512", mebibytes());
row("decode 3840x2160", told(await seconds(() => decode(large, networks), 1, 0)));
row("peak memory then", mebibytes());
rmSync(folder, { recursive: true });
