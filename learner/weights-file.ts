/** Weights by themselves, without an optimiser or counters: what training can start from. */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import type { Policy } from "../policy/policy.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  SafetensorsError,
  weightsFromSafetensors,
} from "../policy/tensor/safetensors.ts";

/** What weights are for: a layout, and what they build on. */
export type WeightsOwner = Pick<Policy, "layout" | "base">;

/**
 * Of a file with weights alone, or of a checkpoint.
 * @throws Error when there is no such file, it is damaged, or it holds the weights of another layout or for another base
 */
export async function readWeights(path: string, { layout, base = "" }: WeightsOwner): Promise<Float32Array> {
  try {
    const file = decodeSafetensors(await readFile(path));
    // The moments in a checkpoint belong to the run that wrote it.
    for (const name of [...file.tensors.keys()]) if (name.startsWith("adam.")) file.tensors.delete(name);
    const weights = weightsFromSafetensors(layout, file);
    checkBase(file.metadata.base ?? "", base);
    return weights;
  } catch (cause) {
    const hint = cause instanceof SafetensorsError ? ". Is it of the same policy with the same options?" : "";
    throw new Error(`Cannot take the weights in ${path}: ${(cause as Error).message}${hint}`, { cause });
  }
}

/** @throws Error when weights were trained on another base than the policy's */
export function checkBase(found: string, wanted: string): void {
  const named = (base: string) => (base === "" ? "no base" : `the base with SHA-256 ${base}`);
  if (found !== wanted)
    throw new Error(
      `they were trained on ${named(found)}, the policy here builds on ${named(wanted)}: name the model they came with`,
    );
}

/** Complete before it gets its name. */
export async function writeWeights(
  path: string,
  { layout, base }: WeightsOwner,
  weights: Float32Array,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const temporary = `${path}.writing`;
  try {
    await writeFile(
      temporary,
      encodeSafetensors(layout, weights, base === undefined ? metadata : { ...metadata, base }),
    );
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
