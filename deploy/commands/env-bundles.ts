/** `env keygen`, `env pack`, `env push` and `env swap`: environments as signed bundles, exchanged while a run trains. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  decodeRecord,
  defaultTerms,
  describeAssignment,
  type EnvironmentRequest,
  encodeEntry,
  type GenerationRecord,
  generationKey,
  requestKey,
} from "../../envs/assignment.ts";
import { type Bundle, brief, digestOf, type Manifest, pushBundle, pushedBundles } from "../../envs/bundle/bundle.ts";
import { createKey, keyFolder, openKey } from "../../envs/bundle/key-folder.ts";
import { builtInIds } from "../../envs/registry.ts";
import type { Bus, KeyValue } from "../../proto/bus/index.ts";
import { ConfigError, type ConfigOf, type Fields, suggestion } from "../../proto/config.ts";
import { subjects } from "../../proto/subjects.ts";
import { type CommandContext, exitCodes } from "../command.ts";
import type { Output } from "../output.ts";
import { packBundle } from "../pack-bundle.ts";
import { percent } from "../quantities.ts";
import { openRun } from "../run-broker.ts";

export const bundleSettings = {
  out: { section: "pack", type: "text", default: ".", about: "Folder of the packed bundle." },
  allowImports: {
    section: "pack",
    type: "text",
    default: "",
    about: "Modules of the runtime that the bundle may import, joined by commas: node:fs,node:path.",
  },
  signWith: {
    section: "push",
    type: "text",
    default: "",
    about: "Private key that signs; 'default' of this machine when empty, made if it does not exist.",
  },
  run: {
    section: "run",
    type: "text",
    default: "",
    about: "Run to push to or to swap in; the only one in runs/ when empty.",
  },
  nats: {
    section: "run",
    type: "text",
    default: "",
    about: "The run's broker; where its folder on this machine says when empty.",
  },
  natsCredentials: { section: "run", type: "text", default: "", about: "Path of a NATS credentials file." },
  bundle: {
    section: "swap",
    type: "text",
    default: "",
    about: "Digest of a pushed bundle, or as much of it as is unique.",
  },
  environment: { section: "swap", type: "text", default: "", about: "Built-in environment to swap to instead." },
  canary: {
    section: "swap",
    type: "number",
    default: defaultTerms.canaryShare,
    above: 0,
    max: 1,
    about: "Share of the groups that play the new generation.",
  },
  rollBackAt: {
    section: "swap",
    type: "number",
    default: defaultTerms.rollBackAt,
    above: 0,
    max: 1,
    about: "Rolls back by itself once more than this share of its members gave no result; 1: never.",
  },
  rollBackAfter: {
    section: "swap",
    type: "integer",
    default: defaultTerms.rollBackAfter,
    min: 1,
    unit: "members",
    about: "… and no fewer than this many of them.",
  },
  from: {
    section: "swap",
    type: "integer",
    default: 0,
    min: 0,
    about: "First iteration that plays it; 0: the next one to be asked for.",
  },
  status: {
    section: "swap",
    type: "flag",
    default: false,
    about: "Tell what plays, and what became of earlier swaps.",
  },
  back: { section: "swap", type: "flag", default: false, about: "Leave the newest generation for the one before." },
  waitMs: {
    section: "swap",
    type: "integer",
    default: 30_000,
    min: 0,
    unit: "ms",
    about: "How long to wait for the learner's answer.",
  },
} as const satisfies Fields;

type Settings = ConfigOf<{ fields: typeof bundleSettings }> & {
  envArguments: Readonly<Record<string, string | number | boolean>>;
};

export async function keygen(name: string, { output }: CommandContext): Promise<number> {
  const { path, publicKey } = await createKey(keyFolder(), name);
  output.event("key", { path, publicKey });
  output.say(`Private key: ${path}, for your eyes only.\nPublic key:  ${publicKey}`);
  output.say(`Learner and actors accept what it signs with: --trustedKeys ${publicKey}`);
  return exitCodes.ok;
}

export async function pack(file: string, settings: Settings, { output }: CommandContext): Promise<number> {
  const { manifest, code } = await packed(file, settings);
  mkdirSync(settings.out, { recursive: true });
  const path = join(settings.out, `${manifest.id}-${brief(manifest.digest)}.bundle.mjs`);
  writeFileSync(path, code);
  writeFileSync(manifestPath(path), `${JSON.stringify(manifest, null, 2)}\n`);
  output.event("packed", { path, manifest });
  output.say(`Packed ${file} into ${path}: ${code.length} bytes, SHA-256 ${manifest.digest}.`);
  output.say(`Push it to a run with: proxima env push ${path} --run NAME`);
  return exitCodes.ok;
}

export async function push(file: string, settings: Settings, context: CommandContext): Promise<number> {
  const { output, signal } = context;
  const bundle = file.endsWith(".bundle.mjs") ? readPacked(file) : await packed(file, settings);
  const signer = await signerOf(settings.signWith, output);
  const { bus, run } = await openRun(settings, signal);
  try {
    await pushBundle(await bus.objects(subjects(run).bundleStore), bundle, signer);
  } finally {
    await bus.close();
  }
  const { digest, id, bytes } = bundle.manifest;
  output.event("pushed", { run, digest, id, bytes, signer: signer.publicKey });
  output.say(`Pushed ${id}, ${bytes} bytes, to run ${run}, signed by ${signer.publicKey}.`);
  output.say(
    `Try it on a tenth of the groups with: proxima env swap --run ${run} --bundle ${brief(digest)} --canary 0.1`,
  );
  return exitCodes.ok;
}

export async function swap(settings: Settings, { output, signal }: CommandContext): Promise<number> {
  const ways = [settings.bundle !== "", settings.environment !== "", settings.back, settings.status];
  if (ways.filter(Boolean).length !== 1)
    throw new ConfigError(["env swap takes one of --bundle DIGEST, --environment ID, --back and --status"]);
  const { bus, run } = await openRun(settings, signal);
  try {
    const state = await bus.keyValue(subjects(run).stateBucket);
    if (settings.status) return await tellStatus(run, state, output);
    if (settings.back) return await goBack(run, state, settings, output, signal);
    return await askFor(await wanted(settings, run, bus), { run, state, settings, output, signal });
  } finally {
    await bus.close();
  }
}

interface Asking {
  run: string;
  state: KeyValue;
  settings: Settings;
  output: Output;
  signal: AbortSignal;
}

async function askFor(what: { reference: string; bundle?: string }, asking: Asking): Promise<number> {
  const { run, state, settings, output, signal } = asking;
  const records = await recordsOf(state);
  const before = await state.get(requestKey);
  const asked = before ? (JSON.parse(new TextDecoder().decode(before.value)) as EnvironmentRequest).generation : 0;
  const generation = Math.max(asked, ...records.map((record) => record.generation)) + 1;
  const { envArguments, canary, rollBackAt, rollBackAfter, from, waitMs } = settings;
  const terms = { canaryShare: canary, rollBackAt, rollBackAfter };
  const request: EnvironmentRequest = { type: "swap", generation, ...what, arguments: envArguments, ...terms, from };
  await state.put(requestKey, encodeEntry(request), { revision: before?.revision ?? 0 });
  const name = `generation ${generation}, ${describeAssignment(what)},`;
  const record = await answerTo(state, generation, () => true, waitMs, signal);
  output.event("swap", { run, generation, ...what, state: record?.state ?? "asked", reason: record?.reason });
  if (!record) {
    output.say(
      `Asked run ${run} for ${name} and had no answer within ${waitMs} ms: its learner considers it when it runs.`,
    );
    return exitCodes.ok;
  }
  if (record.state === "refused") {
    output.error(`Run ${run} refused ${name} ${record.reason}`);
    return exitCodes.failure;
  }
  const share = canary === 1 ? "all groups" : `${percent(canary)} of the groups`;
  output.say(`Run ${run} accepted ${name} for ${share}, from ${from ? `iteration ${from}` : "the next iteration"} on.`);
  output.say(`See how it does with: proxima env swap --run ${run} --status`);
  return exitCodes.ok;
}

async function goBack(run: string, state: KeyValue, settings: Settings, output: Output, signal: AbortSignal) {
  const playing = (await recordsOf(state)).filter((record) => record.state === "playing");
  const newest = playing.at(-1);
  if (!newest || playing.length < 2)
    throw new ConfigError([
      `run '${run}' plays one generation of its environment only: there is nothing to go back to`,
    ]);
  const { generation } = newest;
  await state.put(requestKey, encodeEntry({ type: "back", generation }));
  const left = await answerTo(state, generation, (record) => record.state === "rolledBack", settings.waitMs, signal);
  output.event("back", { run, generation, state: left?.state ?? "asked" });
  const name = `generation ${generation}, ${describeAssignment(newest)}`;
  output.say(
    left ? `Run ${run} has left ${name}.` : `Asked run ${run} to leave ${name}; its learner has not answered yet.`,
  );
  return exitCodes.ok;
}

async function tellStatus(run: string, state: KeyValue, output: Output): Promise<number> {
  for (const record of await recordsOf(state)) {
    output.event("generation", { run, ...record });
    const { generation, canaryShare, from, until, reason } = record;
    const when = from === undefined ? "" : ` from iteration ${from}${until === undefined ? "" : ` until ${until}`}`;
    const share = canaryShare === 1 ? "" : `, ${percent(canaryShare)} of the groups`;
    const why = reason === undefined ? "" : `: ${reason}`;
    output.say(`${generation}  ${describeAssignment(record)}  ${record.state}${when}${share}${why}`);
  }
  return exitCodes.ok;
}

/** What the learner made of a generation; undefined when it says nothing in time. */
async function answerTo(
  state: KeyValue,
  generation: number,
  fits: (record: GenerationRecord) => boolean,
  waitMs: number,
  signal: AbortSignal,
): Promise<GenerationRecord | undefined> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(waitMs)]);
  for await (const { value, deleted } of state.watch(generationKey(generation), until)) {
    const record = deleted ? undefined : decodeRecord(value);
    if (record && fits(record)) return record;
  }
  return undefined;
}

async function recordsOf(state: KeyValue): Promise<GenerationRecord[]> {
  const keys = (await state.keys()).filter((key) => key.startsWith(`${requestKey}.`));
  const entries = await Promise.all(keys.map((key) => state.get(key)));
  return entries
    .flatMap((entry) => (entry ? [decodeRecord(entry.value)] : []))
    .sort((a, b) => a.generation - b.generation);
}

async function wanted({ bundle, environment }: Settings, run: string, bus: Bus) {
  if (environment !== "") {
    if (builtInIds.includes(environment)) return { reference: environment };
    throw new ConfigError([
      `there is no built-in environment '${environment}'${suggestion(environment, builtInIds).replace(/; see --help.*/, "")}; one of your own is pushed as a bundle first: proxima env push FILE --run ${run}`,
    ]);
  }
  const pushed = await pushedBundles(await bus.objects(subjects(run).bundleStore));
  const found = pushed.filter(({ digest }) => digest.startsWith(bundle));
  if (found.length === 1) return { reference: found[0]!.id, bundle: found[0]!.digest };
  const known = pushed.map(({ digest, id }) => `${brief(digest)} (${id})`).join(", ");
  throw new ConfigError([
    `${found.length === 0 ? "no bundle" : "more than one bundle"} of run '${run}' begins with ${bundle}: ${known || "none has been pushed"}`,
  ]);
}

function packed(file: string, { allowImports }: Settings): Promise<Bundle> {
  const names = allowImports.split(",").map((name) => name.trim());
  return packBundle(file, { allowImports: names.filter((name) => name !== "") });
}

function readPacked(path: string): Bundle {
  const code = new Uint8Array(readFileSync(path));
  const manifest = JSON.parse(readFileSync(manifestPath(path), "utf8")) as Manifest;
  const digest = digestOf(code);
  if (manifest.digest !== digest)
    throw new Error(
      `${basename(path)} has SHA-256 ${brief(digest)}…, its manifest says ${brief(manifest.digest)}…: pack it again`,
    );
  return { manifest, code };
}

const manifestPath = (path: string) => path.replace(/\.mjs$/, ".json");

async function signerOf(path: string, output: Output) {
  if (path !== "") return openKey(path);
  const own = join(keyFolder(), "default.key");
  try {
    return await openKey(own);
  } catch (error) {
    if ((error as { cause?: { code?: string } }).cause?.code !== "ENOENT") throw error;
  }
  const { publicKey } = await createKey(keyFolder(), "default");
  output.say(`Made this machine's signing key ${own}; its public key is ${publicKey}.`);
  return openKey(own);
}
