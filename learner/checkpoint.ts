/**
 * Checkpoints: one safetensors file holds weights, Adam's moments, the ledger and every counter, so that writing one is a
 * single rename. The file is complete and on disk (fsync) before it gets its name; `latest` names the newest. A reader
 * verifies the SHA-256 of everything in it and refuses what does not match.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { decodeSafetensors, encodeSafetensors, weightsFromSafetensors } from "../policy/tensor/safetensors.ts";
import type { ParameterSpec } from "../policy/tensor/tensors.ts";
import type { GenerationsState } from "./generations.ts";
import type { LedgerState } from "./ledger.ts";
import { replaceFile } from "./replace-file.ts";
import { checkBase, type WeightsOwner } from "./weights-file.ts";

export interface Counters {
  /** The next iteration to train. */
  iteration: number;
  envSteps: number;
  episodes: number;
  /** Optimiser steps. */
  learnerSteps: number;
}

export interface Checkpoint {
  counters: Counters;
  ledger: LedgerState;
  /** Absent in checkpoints from before environments could be swapped. */
  generations?: GenerationsState;
  /** Mean length of the episodes last trained; decides how many groups the next iteration takes. */
  meanEpisodeLength: number;
  weights: Float32Array;
  optimiser: { m: Float32Array; v: Float32Array; steps: number };
}

export class CheckpointError extends Error {
  override name = "CheckpointError";
}

const fileName = (iteration: number) => `iteration-${String(iteration).padStart(8, "0")}.safetensors`;
const pattern = /^iteration-(\d{8,})\.safetensors$/;

export class CheckpointStore {
  readonly folder: string;
  readonly #policy: WeightsOwner;
  readonly #keep: number;

  /** @param keep how many of the newest checkpoints stay */
  constructor(folder: string, policy: WeightsOwner, keep: number) {
    this.folder = folder;
    this.#policy = policy;
    this.#keep = keep;
  }

  /** Writes atomically, then removes what is older than the `keep` newest. On failure the previous checkpoint is untouched. */
  async write(checkpoint: Checkpoint): Promise<string> {
    const bytes = encode(this.#policy, checkpoint);
    const path = join(this.folder, fileName(checkpoint.counters.iteration));
    try {
      await mkdir(this.folder, { recursive: true });
      await replaceFile(path, [bytes], { sync: true });
      const latest = new TextEncoder().encode(`${fileName(checkpoint.counters.iteration)}\n`);
      await replaceFile(join(this.folder, "latest"), [latest], { sync: true });
      const folder = await open(this.folder, "r");
      await folder.sync().finally(() => folder.close());
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code;
      const advice = code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG" ? " Free some space" : " See the cause";
      throw new CheckpointError(
        `Cannot write checkpoint ${path} (${bytes.length} bytes): ${(cause as Error).message}. The previous checkpoint is intact.${advice} and continue with --resume.`,
        { cause },
      );
    }
    await this.#prune();
    return path;
  }

  /** Iterations that have a checkpoint, oldest first. */
  async iterations(): Promise<number[]> {
    const names = await readdir(this.folder).catch(() => []);
    return names
      .flatMap((name) => pattern.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  /** The checkpoint that `latest` names, or a given iteration's. Throws CheckpointError when it is absent or damaged. */
  async read(iteration?: number): Promise<Checkpoint> {
    const present = await this.iterations();
    if (!present.length) throw new CheckpointError(`Cannot resume: there is no checkpoint in ${this.folder}`);
    const wanted = iteration ?? (await this.#latest()) ?? present.at(-1)!;
    const path = join(this.folder, fileName(wanted));
    const others = present.filter((i) => i !== wanted);
    const advice = others.length
      ? ` Intact or not, older ones are there: resume from one with --resumeFrom ${others.at(-1)}.`
      : "";
    let bytes: Uint8Array;
    try {
      bytes = await readFile(path);
    } catch (cause) {
      throw new CheckpointError(`Cannot read checkpoint ${path}: ${(cause as Error).message}.${advice}`, { cause });
    }
    try {
      return decode(this.#policy, bytes);
    } catch (cause) {
      throw new CheckpointError(`Refused checkpoint ${path}: ${(cause as Error).message}.${advice}`, { cause });
    }
  }

  async #latest(): Promise<number | undefined> {
    const text = await readFile(join(this.folder, "latest"), "utf8").catch(() => "");
    const found = pattern.exec(text.trim())?.[1];
    return found === undefined ? undefined : Number(found);
  }

  async #prune(): Promise<void> {
    const old = (await this.iterations()).slice(0, -this.#keep);
    await Promise.all(old.map((i) => rm(join(this.folder, fileName(i)), { force: true })));
  }
}

const sections = ["", "adam.m/", "adam.v/"] as const;

function fullLayout(layout: readonly ParameterSpec[]): ParameterSpec[] {
  return sections.flatMap((prefix) => layout.map((p) => ({ ...p, name: prefix + p.name })));
}

function digest(tensors: Float32Array, state: string): string {
  const bytes = new Uint8Array(tensors.buffer, tensors.byteOffset, tensors.byteLength);
  return createHash("sha256").update(bytes).update(state).digest("hex");
}

function encode({ layout, base }: WeightsOwner, checkpoint: Checkpoint): Uint8Array {
  const { weights, optimiser, ...rest } = checkpoint;
  const tensors = new Float32Array(weights.length * sections.length);
  tensors.set(weights, 0);
  tensors.set(optimiser.m, weights.length);
  tensors.set(optimiser.v, weights.length * 2);
  const state = JSON.stringify({ ...rest, adamSteps: optimiser.steps });
  return encodeSafetensors(fullLayout(layout), tensors, {
    state,
    sha256: digest(tensors, state),
    ...(base === undefined ? {} : { base }),
  });
}

function decode({ layout, base = "" }: WeightsOwner, bytes: Uint8Array): Checkpoint {
  const file = decodeSafetensors(bytes);
  const { state, sha256 } = file.metadata;
  if (state === undefined || sha256 === undefined)
    throw new Error("it is a safetensors file, but not one of Proxima's checkpoints");
  checkBase(file.metadata.base ?? "", base);
  const buffer = weightsFromSafetensors(fullLayout(layout), file);
  const found = digest(buffer, state);
  if (found !== sha256)
    throw new Error(
      `its content has SHA-256 ${found.slice(0, 12)}…, its header says ${sha256.slice(0, 12)}…: it is damaged`,
    );
  const { adamSteps, ...rest } = JSON.parse(state) as Omit<Checkpoint, "weights" | "optimiser"> & { adamSteps: number };
  const size = buffer.length / sections.length;
  return {
    ...rest,
    weights: buffer.slice(0, size),
    optimiser: { m: buffer.slice(size, size * 2), v: buffer.slice(size * 2), steps: adamSteps },
  };
}
