/**
 * Loads what an assignment names: a built-in environment or a user's file as it is installed here, or a bundle from the run's object
 * store, verified, in this process or in a sandbox. The learner and every actor load by the same rules.
 *
 *   const loader = new EnvironmentLoader({ bundles: () => bus.objects(subjects.bundleStore), ...config, callTimeoutMs: 30_000 });
 *   const { source, digest, how } = await loader.load({ reference: "guess", bundle: "3fa2…", arguments: {} });
 */
import { Buffer } from "node:buffer";
import type { ObjectStore } from "../../proto/bus/bus.ts";
import { resolveArguments } from "../arguments.ts";
import type { EnvironmentArguments, EnvironmentSource } from "../environment.ts";
import { loadEnvironment, sourceProblem, toDefinition } from "../registry.ts";
import { type Bundle, brief, fetchBundle } from "./bundle.ts";
import { ownKeys } from "./key-folder.ts";
import { findDeno } from "./sandbox-process.ts";
import { sandboxedSource } from "./sandboxed.ts";

export interface LoaderOptions {
  bundles(): Promise<ObjectStore>;
  /** As the configuration has them: `bundleFields`. */
  trustedKeys: string;
  sandbox: "auto" | "deno" | "none";
  denoProgram: string;
  /** Of a reset or step in a sandbox. */
  callTimeoutMs: number;
}

export interface WantedEnvironment {
  /** Built-in id or file; of a bundle the id in its manifest. */
  reference: string;
  /** Hex SHA-256. */
  bundle?: string;
  arguments: EnvironmentArguments;
}

export interface LoadedEnvironment {
  source: EnvironmentSource;
  arguments: EnvironmentArguments;
  /** What runs, for lineage. */
  digest: string;
  /** In words: whose it is and where it runs. */
  how: string;
  /** Ends a sandbox; episodes still in it have no result. */
  close(): void;
}

export class EnvironmentLoader {
  readonly #options: LoaderOptions;
  #deno: Promise<string | undefined> | undefined;

  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  /** Throws an Error that says why it cannot be loaded, and what to do. */
  async load(wanted: WantedEnvironment): Promise<LoadedEnvironment> {
    if (wanted.bundle === undefined) {
      const loaded = await loadEnvironment(wanted.reference, wanted.arguments);
      return { ...loaded, how: "as installed here", close: () => {} };
    }
    const own = await ownKeys();
    const trusted = this.#options.trustedKeys.split(",").map((key) => key.trim());
    const keys = trusted.flatMap((key) => (key === "own" ? own : key === "" ? [] : [key]));
    const bundle = await fetchBundle(await this.#options.bundles(), wanted.bundle, keys);
    const name = `bundle ${brief(wanted.bundle)}`;
    if (bundle.manifest.id !== wanted.reference)
      throw new Error(`Cannot load ${name} as "${wanted.reference}": it defines "${bundle.manifest.id}"`);
    const { deno, where } = await this.#sandbox(own.includes(bundle.signer));
    const how = `${name}, signed by ${own.includes(bundle.signer) ? "a key of this machine" : bundle.signer}, ${where}`;
    try {
      const loaded = deno ? await this.#inSandbox(deno, bundle, wanted) : await this.#inThisProcess(bundle, wanted);
      return { ...loaded, digest: wanted.bundle, how };
    } catch (cause) {
      throw new Error(`Cannot load ${how}: ${(cause as Error).message}`, { cause });
    }
  }

  /** The Deno to play in, where it is to be in one. */
  async #sandbox(isOwn: boolean): Promise<{ deno?: string; where: string }> {
    const { sandbox, denoProgram } = this.#options;
    if (sandbox === "none") return { where: "in this process (sandbox = none)" };
    if (sandbox === "auto" && isOwn) return { where: "in this process, as it is its own" };
    this.#deno ??= findDeno(denoProgram);
    const deno = await this.#deno;
    if (deno !== undefined) return { deno, where: "in a Deno process without permissions" };
    if (sandbox === "auto") return { where: "in this process, as there is no Deno to confine it" };
    throw new Error(
      `Cannot confine a bundle: sandbox = deno, but ${denoProgram || "deno"} does not run here. Install Deno, name it with denoProgram, or set sandbox = none if you trust every signer`,
    );
  }

  async #inThisProcess({ code }: Bundle, wanted: WantedEnvironment) {
    const url = `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`;
    const module = (await import(url)) as { default?: unknown };
    const definition = toDefinition(module.default, "It");
    const args = resolveArguments(definition, wanted.arguments);
    const source = await definition.load(args);
    const problem = sourceProblem(source);
    if (problem !== undefined) throw new TypeError(`it loaded something unusable: ${problem}`);
    return { source, arguments: args, close: () => {} };
  }

  #inSandbox(deno: string, { code }: Bundle, wanted: WantedEnvironment) {
    const { callTimeoutMs } = this.#options;
    return sandboxedSource({ deno, code, arguments: wanted.arguments, callTimeoutMs });
  }
}
