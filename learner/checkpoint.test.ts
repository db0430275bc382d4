import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ParameterSpec } from "../policy/tensor/tensors.ts";
import { type Checkpoint, CheckpointError, CheckpointStore } from "./checkpoint.ts";
import { Ledger } from "./ledger.ts";
import { readWeights } from "./weights-file.ts";

const root = mkdtempSync(join(tmpdir(), "proxima-checkpoint-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const layout: ParameterSpec[] = [
  { name: "w", shape: [2, 3], init: { type: "constant", value: 0 } },
  { name: "b", shape: [3], init: { type: "constant", value: 0 } },
];

function checkpoint(iteration: number): Checkpoint {
  const numbers = (offset: number) =>
    Float32Array.from({ length: 9 }, (_, i) => Math.fround(i / 7 + offset + iteration));
  const ledger = new Ledger();
  ledger.start(iteration, 2, 4);
  return {
    counters: { iteration, envSteps: 100 * iteration, episodes: 8 * iteration, learnerSteps: 3 },
    ledger: ledger.state(),
    meanEpisodeLength: 12.25,
    weights: numbers(0),
    optimiser: { m: numbers(1), v: numbers(2), steps: 41 },
  };
}

let stores = 0;
const store = (keep = 3) => new CheckpointStore(join(root, `store-${stores++}`), { layout }, keep);

describe("a checkpoint", () => {
  test("reads back as it was written, bit for bit", async () => {
    const checkpoints = store();
    await checkpoints.write(checkpoint(5));
    expect(await checkpoints.read()).toEqual(checkpoint(5));
  });

  test("gives its weights to a run that starts from them", async () => {
    const path = await store().write(checkpoint(5));
    expect(await readWeights(path, { layout })).toEqual(checkpoint(5).weights);
  });

  test("is the newest by default, any that is kept on request, and only the last few are kept", async () => {
    const checkpoints = store(2);
    for (const iteration of [1, 2, 3]) await checkpoints.write(checkpoint(iteration));
    expect((await checkpoints.read()).counters.iteration).toBe(3);
    expect((await checkpoints.read(2)).counters.iteration).toBe(2);
    expect(await checkpoints.iterations()).toEqual([2, 3]);
    expect(readFileSync(join(checkpoints.folder, "latest"), "utf8")).toBe("iteration-00000003.safetensors\n");
  });

  test("with any byte changed is refused, and the message names an older one", async () => {
    const checkpoints = store();
    await checkpoints.write(checkpoint(1));
    const path = await checkpoints.write(checkpoint(2));
    const bytes = readFileSync(path);
    for (const at of [bytes.length - 1, bytes.length - 50, Math.floor(bytes.length / 2), 9]) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 1;
      writeFileSync(path, damaged);
      const error = await checkpoints.read().catch((e) => e);
      expect(error).toBeInstanceOf(CheckpointError);
      expect(error.message).toContain("Refused checkpoint");
      expect(error.message).toContain("--resumeFrom 1");
    }
  });

  test("cut short is refused", async () => {
    const checkpoints = store();
    const path = await checkpoints.write(checkpoint(2));
    writeFileSync(path, readFileSync(path).subarray(0, -40));
    await expect(checkpoints.read()).rejects.toThrow("Refused checkpoint");
  });

  test("of another network is refused", async () => {
    const checkpoints = store();
    await checkpoints.write(checkpoint(2));
    const other = new CheckpointStore(checkpoints.folder, { layout: [layout[0]!] }, 3);
    await expect(other.read()).rejects.toThrow(CheckpointError);
  });

  test("of an adapter is refused on another base, and where there is none", async () => {
    const base = "ab".repeat(32);
    const { folder } = store();
    const ours = new CheckpointStore(folder, { layout, base }, 3);
    await ours.write(checkpoint(2));
    expect((await ours.read()).weights).toEqual(checkpoint(2).weights);
    await expect(new CheckpointStore(folder, { layout }, 3).read()).rejects.toThrow(
      `trained on the base with SHA-256 ${base}, the policy here builds on no base`,
    );
    await expect(new CheckpointStore(folder, { layout, base: "00" }, 3).read()).rejects.toThrow("SHA-256 00");
  });

  test("that is missing is an error that says where it was looked for", async () => {
    const checkpoints = store();
    await expect(checkpoints.read()).rejects.toThrow(`there is no checkpoint in ${checkpoints.folder}`);
  });

  test("that cannot be written whole leaves the one before it intact, and no rest", async () => {
    const checkpoints = store();
    await checkpoints.write(checkpoint(1));
    // A file-size limit of the process stands for a full disk: the write itself fails half-way.
    const script = `
      import { CheckpointStore } from ${JSON.stringify(join(import.meta.dirname, "checkpoint.ts"))};
      const layout = [{ name: "w", shape: [100000], init: { type: "constant", value: 0 } }];
      const zeros = () => new Float32Array(100000);
      const state = ${JSON.stringify({ ...checkpoint(2), weights: 0, optimiser: 0 })};
      process.on("SIGXFSZ", () => {});
      const store = new CheckpointStore(${JSON.stringify(checkpoints.folder)}, { layout }, 3);
      await store.write({ ...state, weights: zeros(), optimiser: { m: zeros(), v: zeros(), steps: 1 } })
        .then(() => console.log("written"), (error) => console.log(error.name, error.message));`;
    const run = spawnSync("bash", ["-c", `ulimit -f 64; exec ${process.execPath} -e "$SCRIPT"`], {
      env: { ...process.env, SCRIPT: script },
      encoding: "utf8",
    });
    expect(run.stdout).toContain("CheckpointError Cannot write checkpoint");
    expect(run.stdout).toContain("The previous checkpoint is intact. Free some space and continue with --resume.");
    expect(readdirSync(checkpoints.folder).sort()).toEqual(["iteration-00000001.safetensors", "latest"]);
    expect(await checkpoints.read()).toEqual(checkpoint(1));
  });
});
