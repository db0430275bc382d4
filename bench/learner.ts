/**
 * The learner's step beside PyTorch on the CPU, with one thread and with two: a PPO minibatch (forward, loss, backward, clip, Adam) of the
 * default networks at 64, 256 and 512 wide and of the text policy on turns of ALFWorld, and a forward pass of 16 rows. Both
 * sides begin with the same weights and take the same minibatches; their losses over the first update are compared. Each run gives its
 * fastest of the calls in a second.
 *   bun bench/learner.ts [--quick] [--rounds N] [--only TEXT]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FORWARD_ROWS, learnerWork, type WorkName, works, writeWork } from "./peers/learner-work.ts";
import { run } from "./peers/program.ts";
import { peerPython, peerScript, pinned } from "./peers/python.ts";
import { benchOptions, type Comparison, type Figures, sideBySide } from "./peers/side-by-side.ts";

const options = benchOptions("learner", { rounds: 3, quickRounds: 1 });
const seconds = options.quick ? 0.5 : 1;
const goals: Partial<Record<WorkName, number>> = { "64 × 64": 3, "512 × 512": 0.5 };
const folders = new Map<WorkName, string>();

async function folderOf(name: WorkName): Promise<string> {
  const known = folders.get(name);
  if (known) return known;
  const folder = mkdtempSync(join(tmpdir(), "proxima-bench-learner-"));
  folders.set(name, folder);
  writeWork(folder, await learnerWork(name));
  return folder;
}

async function figures(command: readonly string[], threads: number): Promise<Figures> {
  const { events } = await run(command, { cores: threads === 1 ? "0" : `0-${threads - 1}` });
  const { updateMs, forwardUs, loss } = events.find(({ type }) => type === "measured") as unknown as Figures;
  return { updateMs: updateMs!, forwardUs: forwardUs!, loss: loss! };
}

function beside(name: WorkName, threads: number): Comparison {
  return {
    name: `${name}, ${threads} thread${threads > 1 ? "s" : ""}`,
    peer: `PyTorch ${pinned("torch", "torch")}`,
    measures: [
      { figure: "updateMs", unit: "ms a PPO minibatch", better: "less", goal: goals[name] },
      { figure: "forwardUs", unit: `µs forward, ${FORWARD_ROWS} rows`, better: "less" },
      { figure: "loss", unit: "loss of the first update", better: "same" },
    ],
    ours: () =>
      figures([process.execPath, peerScript("learner-step.ts"), name, String(threads), String(seconds)], threads),
    async theirs() {
      const settings = { folder: await folderOf(name), threads, seconds, minibatches: 8, forwardRows: FORWARD_ROWS };
      return figures([peerPython("torch"), peerScript("learner_step.py"), JSON.stringify(settings)], threads);
    },
  };
}

try {
  await sideBySide(
    options,
    [1, 2].flatMap((threads) => works.map((name) => beside(name, threads))),
  );
} finally {
  for (const folder of folders.values()) rmSync(folder, { recursive: true });
}
