/**
 * Language models of Qwen2.5's shapes with random weights in bf16: prompt, generation and an update of adapters (rank 16 on all projections) in
 * tokens a second of processor time, and memory; against `transformers` and PEFT on one thread in turn. Each subject in a process of its own.
 * Actors generate on the CPU; on a device (TensorFlow.js takes all threads) there is the update alone. What is not here is said.
 *   PROXIMA_PYTHON=… bun bench/language.ts [shape: 0.5B, 1.5B; default 0.5B] [part of a subject's name]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { causalLayout } from "../policy/language/causal/index.ts";
import { parameterCount } from "../policy/tensor/index.ts";
import { pythonWith } from "../proto/testing/python.ts";
import { SHAPES, writeRandomModel } from "./language/random-model.ts";
import { ADAPTER_RANK, PROMPT, type Result, SESSIONS, UPDATE } from "./language/work.ts";

const [shape = "0.5B", wanted = ""] = process.argv.slice(2);
const config = SHAPES[shape];
if (!config) throw new RangeError(`There is no shape ${shape}: choose among ${Object.keys(SHAPES).join(", ")}`);

const folder = mkdtempSync(join(tmpdir(), "proxima-language-"));
const here = join(import.meta.dirname, "language");
const work = JSON.stringify({ rank: ADAPTER_RANK, prompt: PROMPT, sessions: SESSIONS, update: UPDATE });
const python = pythonWith("peft", "transformers as the peer");
const subjects: [name: string, command: string, args: string[]][] = [
  ["proxima stored", process.execPath, [join(here, "subject.ts"), folder, "stored"]],
  ["transformers float32", python ?? "", [join(here, "subject.py"), folder, "float32", work]],
  ["proxima tensorflow", process.execPath, [join(here, "subject.ts"), folder, "stored", "tensorflow"]],
  ["proxima stored recompute", process.execPath, [join(here, "subject.ts"), folder, "stored", "recompute"]],
  ["transformers bfloat16", python ?? "", [join(here, "subject.py"), folder, "bfloat16", work]],
  ["proxima webgpu", process.execPath, [join(here, "subject.ts"), folder, "stored", "webgpu"]],
  ["proxima int8", process.execPath, [join(here, "subject.ts"), folder, "int8"]],
];

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
try {
  writeRandomModel(folder, config);
  console.log(
    `${shape}: ${(parameterCount(causalLayout(config)) / 1e6).toFixed(0)} M parameters, prompt of ${PROMPT} tokens`,
  );
  const heads = [
    "",
    "prompt/s",
    ...SESSIONS.map(([n]) => `${n} answering/s`),
    "update/s",
    "memory",
    "not mapped",
    "load",
  ];
  const line = (cells: string[]) =>
    console.log(cells.map((c, i) => (i === 0 ? c.padEnd(42) : c.padStart(14))).join(""));
  line(heads);
  let adapterBytes = 0;
  for (const [name, command, args] of subjects) {
    if (!name.includes(wanted) || command === "") continue;
    const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${name} ended with ${status}:\n${stderr.slice(-2000)}`);
    const result = JSON.parse(stdout.trim().split("\n").at(-1)!) as Result | { leftOut: string };
    if ("leftOut" in result) {
      console.log(`${name}: left out. ${result.leftOut}`);
      continue;
    }
    const rates = [result.prompt, ...SESSIONS.map(([n]) => result.generate[n]), result.update];
    const cells = rates.map((rate) => rate?.toFixed(1) ?? "–");
    line([result.name, ...cells, gib(result.bytes), gib(result.ownBytes), loadavg()[0]!.toFixed(0)]);
    adapterBytes = result.adapterBytes;
  }
  console.log(
    `adapters: ${(adapterBytes / 1e6).toFixed(1)} MB as float32, ${(adapterBytes / 2e6).toFixed(1)} MB as bf16`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
