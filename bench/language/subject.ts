/**
 * Measures one model in a process of its own: `subject.ts FOLDER FORMAT [recompute | tensorflow | webgpu]` prints a line of JSON. FORMAT: stored,
 * bf16 or int8. On a device only an update: generation is the CPU's.
 */
import { readFileSync } from "node:fs";
import {
  adaptedWeights,
  type BaseFormat,
  causal,
  frozenBase,
  Generator,
  readCheckpoint,
} from "../../policy/language/causal/index.ts";
import { initialise } from "../../policy/tensor/index.ts";
import { simdProvider } from "../../policy/tensor/simd/provider.ts";
import { type Device, openDevice } from "../../policy/tensor/tfjs/device.ts";
import { type DeviceName, DeviceUnavailableError } from "../../policy/tensor/tfjs/packages.ts";
import { ADAPTER_RANK, PROMPT, type Result, SESSIONS, UPDATE } from "./work.ts";

const [folder, format, how] = process.argv.slice(2) as [string, BaseFormat, string?];

/** Seconds of processor time, of all threads. */
async function seconds(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

const device = how === "tensorflow" || how === "webgpu" ? await openHere(how) : undefined;
const checkpoint = readCheckpoint(folder);
const lm = causal(checkpoint.config, {
  weights: adaptedWeights(frozenBase(checkpoint, format), { rank: ADAPTER_RANK }),
  recompute: how === "recompute",
});
const model = (device ?? simdProvider()).model(lm.layout);
model.load(initialise(lm.layout, 1));
const prompt = Int32Array.from({ length: PROMPT }, (_, i) => (i * 7919) % 50_000);

const result: Result = {
  name: `proxima ${device?.description ?? "simd"}, ${format}${how === "recompute" ? ", layers recomputed" : ""}`,
  generate: {},
  update: 0,
  bytes: 0,
  ownBytes: 0,
  adapterBytes: 0,
};
if (!device) await generate();
const { tokens: count, trained } = UPDATE;
const batch = { tokens: prompt.slice(0, count), offsets: Uint32Array.of(0, count) };
const positions = Uint32Array.from({ length: trained }, (_, i) => count - trained + i);
for (let pass = 0; pass < 2; pass++) {
  // The first one compiles, and fetches memory that later ones have.
  const spent = await seconds(async () => {
    const read = model.differentiate((t) => ({ loss: t.mean(lm.tokenLogProbs(t, batch, positions).logProb) }));
    await model.adam({ learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 });
    await read;
  });
  result.update = count / spent;
}
result.adapterBytes = 4 * model.parameterCount;
const status = readFileSync("/proc/self/status", "utf8");
const kibibytes = (key: string): number => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)![1]);
result.bytes = 1024 * kibibytes("VmHWM");
result.ownBytes = 1024 * (kibibytes("VmHWM") - kibibytes("RssFile"));
console.log(JSON.stringify(result));
if (device) process.exit(0);

/** A device that is not here is no failure: the reason is the result. */
async function openHere(name: DeviceName): Promise<Device> {
  try {
    const found = await openDevice(name);
    if (found.isGpu || name === "tensorflow") return found;
    leaveOut(`${found.description} is no GPU: how fast it is says nothing`);
  } catch (error) {
    if (!(error instanceof DeviceUnavailableError)) throw error;
    leaveOut(error.message);
  }
}

function leaveOut(reason: string): never {
  console.log(JSON.stringify({ leftOut: reason }));
  process.exit(0);
}

async function generate(): Promise<void> {
  const generator = new Generator(model, lm, () => "");
  const one = generator.session();
  const ask = (session: typeof one, maxTokens: number) => ({ session, tokens: prompt, uniform: () => 0.5, maxTokens });
  result.prompt = PROMPT / (await seconds(() => generator.generate([ask(one, 1)], { maxTokens: 1 })));
  for (const [sessions, tokens] of SESSIONS) {
    const asked = Array.from({ length: sessions }, () => ask(generator.session(), tokens));
    for (const { session } of asked) await generator.generate([ask(session, 1)], { maxTokens: 1 });
    // The last token of the prompt is computed again, so that each token of the answer is one step.
    const spent = await seconds(() => generator.generate(asked, { maxTokens: tokens }));
    result.generate[sessions] = (sessions * tokens) / spent;
    for (const { session } of asked) session.close();
  }
}
