/** Gives a decoder damaged inputs and says what it made of them. */
import { Random } from "../../envs/random.ts";
import { mutate } from "./mutate.ts";
import type { Target } from "./target.ts";

export interface Findings {
  target: string;
  inputs: number;
  accepted: number;
  refused: number;
  /** The slowest input: its best time of some, since anything can be interrupted. */
  slowestMs: number;
  /** Of the heap, after collection, from a tenth of the way to the end. */
  heapGrowthBytes: number;
  /** Inputs, in base64, that ended in an accident or took too long, and how. The first few. */
  problems: { how: string; input: string }[];
}

const MAX_PROBLEMS = 5;
/** Longer than this is worth a second look. */
const SLOW_MS = 10;
const TRIES = 5;

/** Some memory of the runtime's own (of zstd, say) is let go between turns of the event loop only. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function heapBytes(): Promise<number> {
  await turn();
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}

export async function fuzz(target: Target, inputs: number, seed: number, limitMs: number): Promise<Findings> {
  const random = new Random(seed);
  const findings: Findings = {
    target: target.name,
    inputs,
    accepted: 0,
    refused: 0,
    slowestMs: 0,
    heapGrowthBytes: 0,
    problems: [],
  };
  const attempt = async (bytes: Uint8Array): Promise<{ ms: number; error?: unknown }> => {
    const begin = performance.now();
    try {
      const value = target.decode(bytes);
      if (value instanceof Promise) await value;
      return { ms: performance.now() - begin };
    } catch (error) {
      return { ms: performance.now() - begin, error };
    }
  };
  const report = (bytes: Uint8Array, how: string) => {
    if (findings.problems.length < MAX_PROBLEMS)
      findings.problems.push({ how, input: Buffer.from(bytes).toString("base64") });
  };
  const warm = Math.floor(inputs / 10);
  let heapBefore = 0;
  for (let i = 0; i < inputs; i++) {
    if (i === warm) heapBefore = await heapBytes();
    if (i % 1_000 === 0) await turn();
    const bytes = mutate(target.seeds, random);
    let { ms, error } = await attempt(bytes);
    for (let again = 1; again < TRIES && ms > SLOW_MS; again++) ms = Math.min(ms, (await attempt(bytes)).ms);
    findings.slowestMs = Math.max(findings.slowestMs, ms);
    if (ms > limitMs) report(bytes, `took ${ms.toFixed(0)} ms`);
    if (error === undefined) findings.accepted++;
    else if (target.refuses(error)) findings.refused++;
    else report(bytes, `${(error as Error)?.name}: ${(error as Error)?.message}`);
  }
  findings.heapGrowthBytes = (await heapBytes()) - heapBefore;
  return findings;
}
