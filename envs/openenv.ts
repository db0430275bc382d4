/**
 * An environment that speaks OpenEnv (reset, step and state over a WebSocket, a session for each environment), as Python's
 * `openenv-core` serves it and the hub of ready-made ones do.
 *
 *   proxima dev --env openenv --env.url http://127.0.0.1:8000
 *
 * Spaces come from the server's schema and from one reset, and what these leave open from arguments. OpenEnv knows one end of an
 * episode: `done` is `terminated`, and only `maxSteps` truncates.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { countArgument } from "./arguments.ts";
import type {
  Action,
  Environment,
  EnvironmentArguments,
  EnvironmentDefinition,
  EnvironmentSource,
  EnvironmentSpec,
  Space,
  Transition,
  Turn,
} from "./environment.ts";
import { oneTask } from "./one-task.ts";
import { type ActionForm, type ActionSchema, actionForm } from "./openenv/action.ts";
import { OpenEnvSession } from "./openenv/session.ts";
import { shown } from "./spaces.ts";

const RETRY_MS = 200;
const MAX_TEXT = 1 << 20;

type Fields = Readonly<Record<string, unknown>>;

interface Reached {
  url: string;
  timeoutMs: number;
  reconnectMs: number;
}

interface Played {
  timeoutMs: number;
  /** Names of the observation's fields: what is seen, what may be done, whether it was a success. */
  observation: string;
  admissible: string;
  success: string;
  form: ActionForm;
}

class OpenEnv implements Environment {
  readonly spec: EnvironmentSpec;
  readonly #played: Played;
  readonly #sessions: Sessions;
  /** Borrowed from reset to the end of the episode. */
  #session: OpenEnvSession | undefined;
  #steps = 0;
  #closed = false;

  constructor(spec: EnvironmentSpec, played: Played, sessions: Sessions) {
    this.spec = spec;
    this.#played = played;
    this.#sessions = sessions;
    sessions.users++;
  }

  async reset({ seed }: { task: string; seed: number }): Promise<Turn> {
    if (this.#closed) throw new Error("openenv: reset() of a closed environment");
    this.#giveBack(); // in the middle of its episode
    const session = await this.#sessions.take();
    this.#session = session;
    if (this.#closed) this.#giveBack();
    const { observation } = await session.ask("reset", { seed }, this.#played.timeoutMs);
    this.#steps = 0;
    return this.#turn(observation as Fields);
  }

  async step(action: Action): Promise<Transition> {
    if (!this.#session) throw new Error("openenv: step() without a running episode; call reset() first");
    const { form, timeoutMs, success } = this.#played;
    const given = await this.#session.ask("step", form.toJson(action), timeoutMs);
    const observation = given.observation as Fields;
    const terminated = given.done === true;
    this.#steps++;
    const truncated = !terminated && this.#steps === this.spec.maxEpisodeSteps;
    const ended = terminated || truncated;
    if (ended) this.#giveBack();
    return {
      ...this.#turn(observation),
      reward: Number(given.reward ?? 0),
      terminated,
      truncated,
      ...(ended && success ? { success: observation[success] === true } : {}),
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#giveBack();
    this.#sessions.release();
  }

  #giveBack(): void {
    if (this.#session) this.#sessions.giveBack(this.#session);
    this.#session = undefined;
  }

  #turn(fields: Fields): Turn {
    const { observation, admissible, form } = this.#played;
    const turn: Turn = { observation: toObservation(this.spec.observation, fields[observation], observation) };
    if (!admissible) return turn;
    const allowed = fields[admissible];
    if (!Array.isArray(allowed))
      throw new TypeError(`openenv: "${admissible}" must be a list, found ${shown(allowed)}`);
    if (this.spec.action.type !== "discrete") return { ...turn, admissible: allowed.map(String) };
    const actionMask = new Uint8Array(this.spec.action.n);
    for (const action of allowed) actionMask[Number(action) - form.first] = 1;
    return { ...turn, actionMask };
  }
}

/** Sessions that no episode uses are kept for the next one. */
class Sessions {
  readonly #settings: Reached;
  #idle: OpenEnvSession[] = [];
  /** Environments that are not closed; with the last one the sessions go. */
  users = 0;

  constructor(settings: Reached) {
    this.#settings = settings;
  }

  /** Waits for a server that is away or has no room, but not longer than `reconnectMs`. */
  async take(): Promise<OpenEnvSession> {
    const { url, timeoutMs, reconnectMs } = this.#settings;
    const before = performance.now() + reconnectMs;
    for (;;) {
      const idle = this.#idle.pop();
      if (idle && !idle.lost) return idle;
      if (idle) continue;
      let session: OpenEnvSession | undefined;
      try {
        session = await OpenEnvSession.open(url, timeoutMs);
        await session.ask("state", undefined, timeoutMs); // whether there is room for it shows only in an answer
        return session;
      } catch (error) {
        session?.close();
        if (performance.now() > before) throw error;
        await sleep(RETRY_MS);
      }
    }
  }

  /** One that still owes an answer is of no use to anybody. */
  giveBack(session: OpenEnvSession): void {
    if (session.busy || this.users === 0) session.close();
    else this.#idle.push(session);
  }

  release(): void {
    if (--this.users > 0) return;
    for (const session of this.#idle) session.close();
    this.#idle = [];
  }
}

function toObservation(space: Space, value: unknown, field: string): Float32Array | string {
  if (space.type === "text") {
    if (typeof value === "string") return value;
    throw new TypeError(`openenv: "${field}" was a text, found ${shown(value)}`);
  }
  const numbers = Float32Array.from(flat(value));
  const size = space.type === "box" ? space.shape[0] : 0;
  if (numbers.length === size) return numbers;
  throw new TypeError(`openenv: "${field}" was ${size} numbers, found ${numbers.length}`);
}

function flat(value: unknown): number[] {
  if (typeof value === "number" || typeof value === "boolean") return [Number(value)];
  return Array.isArray(value) ? (value as unknown[]).flatMap(flat) : [];
}

async function load(args: EnvironmentArguments): Promise<EnvironmentSource> {
  const url = String(args.url);
  if (!/^(https?|wss?):\/\/.+/.test(url))
    throw new TypeError(`openenv: url must be such as http://127.0.0.1:8000, found "${url}"`);
  const timeoutMs = countArgument(args, "timeoutMs");
  const reconnectMs = countArgument(args, "reconnectMs");
  const sessions = new Sessions({ url, timeoutMs, reconnectMs });
  const session = await sessions.take();
  let seen: Fields;
  let schema: { action: ActionSchema };
  try {
    seen = (await session.ask("reset", { seed: 0 }, timeoutMs)).observation as Fields;
    schema = await schemaOf(url, timeoutMs);
  } finally {
    session.close();
  }
  const form = actionForm(schema.action, args);
  const observation = chosenObservation(seen, args);
  const spec: EnvironmentSpec = {
    id: "openenv",
    observation: observationSpace(seen[observation]),
    action: form.space,
    maxEpisodeSteps: countArgument(args, "maxSteps"),
    hasSuccess: args.success !== "",
  };
  const fields = { observation, admissible: String(args.admissible), success: String(args.success) };
  const played: Played = { timeoutMs, ...fields, form };
  return {
    spec,
    ...oneTask("openenv"),
    create: () => new OpenEnv(spec, played, sessions),
    digest: `openenv:${createHash("sha256")
      .update(JSON.stringify([schema, spec]))
      .digest("hex")
      .slice(0, 32)}`,
    maxSideBySide: countArgument(args, "sessions"),
  };
}

async function schemaOf(url: string, timeoutMs: number): Promise<{ action: ActionSchema }> {
  const address = `${url.replace(/^ws/, "http").replace(/\/+$/, "")}/schema`;
  const response = await fetch(address, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`openenv: ${address} answers ${response.status}, expected its schemas`);
  return (await response.json()) as { action: ActionSchema };
}

/** The field named, or the only one that is text or numbers. */
function chosenObservation(seen: Fields, args: EnvironmentArguments): string {
  const named = String(args.observation);
  const usable = Object.keys(seen).filter(
    (name) =>
      name !== args.admissible && name !== args.success && (typeof seen[name] === "string" || flat(seen[name]).length),
  );
  if (named && usable.includes(named)) return named;
  if (!named && usable.length === 1) return usable[0]!;
  const among = usable.join(", ") || "none";
  throw new TypeError(
    named
      ? `openenv: its observation has no text or numbers "${named}", only: ${among}`
      : `openenv: its observation has ${usable.length} fields of text or numbers (${among}): name the one to see with --env.observation`,
  );
}

function observationSpace(value: unknown): Space {
  if (typeof value === "string") return { type: "text", maxLength: MAX_TEXT };
  return { type: "box", shape: [flat(value).length], low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
}

const definition: EnvironmentDefinition = {
  id: "openenv",
  summary: "An environment that speaks OpenEnv, such as those served by Python's openenv-core.",
  arguments: {
    url: { default: "http://127.0.0.1:8000", about: "Where it is served." },
    observation: {
      default: "",
      about: "Field of its observation that is seen: text or numbers; the only one when empty.",
    },
    action: { default: "", about: "Field of its action that is filled; the only one without a default when empty." },
    actions: { default: 0, about: "How many actions there are, where that field is a number without bounds." },
    admissible: { default: "", about: "Field of its observation that lists the actions allowed now." },
    success: { default: "", about: "Field of its observation that is true when the episode was a success." },
    fixed: { default: "", about: 'Other fields of its action, as JSON: {"game": "chess"}.' },
    maxSteps: { default: 100, about: "Episodes are truncated after this many steps." },
    sessions: {
      default: 1,
      about: "Episodes at once, of one actor: the server's max_concurrent_envs, shared among actors.",
    },
    timeoutMs: { default: 25_000, about: "Deadline of each call, in ms: shorter than the actor's stepTimeoutMs." },
    reconnectMs: { default: 20_000, about: "How long a new episode waits for a server that is away or full, in ms." },
  },
  load,
};

export default definition;
