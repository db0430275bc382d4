/**
 * Inside the process or thread of one actor: loads its kind, makes it, and serves its calls. Runs on Bun, Deno and Node; how
 * it speaks with its node is given.
 */
import process from "node:process";
import { callSubject, cancelSubject } from "../../proto/actor-subjects.ts";
import { type NatsOptions, openBus } from "../../proto/bus/index.ts";
import { decodeData } from "../../proto/data.ts";
import type { Security } from "../../proto/grpc.ts";
import { CallServer } from "./call-server.ts";
import type { ActorEntry } from "./entry.ts";
import type { ActorContext, Kind } from "./kind.ts";
import { ActorSystem } from "./system.ts";

/** What a node tells the process that hosts an actor. */
export type ToActor =
  | { type: "host"; entry: ActorEntry; module: string; bus: BusAccess }
  /** The node is in touch with the broker: until then nobody has taken this actor's place. */
  | { type: "lease"; untilMs: number }
  /** Answer what is in the mailbox, then end. */
  | { type: "drain" };

/** What the process tells its node. */
export type FromActor =
  | { type: "running" }
  | { type: "load"; mailbox: number; calls: number }
  | { type: "log"; message: string }
  /** The actor is about to end as if it had crashed; also when it cannot be made. */
  | { type: "failed"; message: string; stack: string }
  | { type: "drained" };

/** Begins a line of standard output that is meant for the node. */
export const MESSAGE_MARK = "\x1e";

/** What an actor may reach from its node, and how. */
export interface BusAccess {
  url: string;
  /** The contents of a NATS credentials file. */
  credentials?: string;
  /** Folder of `proxima secure`, with the node's files. */
  secrets?: string;
  /** host:port where rollout actors have weights; the learner's own address when absent. */
  weights?: string;
}

/** What the node's files say: for the connection to the broker, and for calls to a learner. */
export interface NodeSecrets {
  bus: Pick<NatsOptions, "nkeySeed" | "tls" | "inboxPrefix">;
  client: Security;
}

export interface HostLink {
  /** Reads them where a node has some. */
  secretsIn(folder: string): NodeSecrets | undefined;
  send(message: FromActor): void;
  onMessage(listener: (message: ToActor) => void): void;
  /** Ends the process or thread. */
  exit(code: number): never | void;
}

/** How long the broker may take to be reached. */
const CONNECT_MS = 30_000;

/** Serves until told to drain. */
export function hostActor(link: HostLink): void {
  let server: CallServer | undefined;
  let leaseUntilMs = 0;
  let drain = () => link.exit(0); // before there is anything to finish
  const fail = (error: unknown) => {
    const { message, stack = "" } = error instanceof Error ? error : new Error(String(error));
    link.send({ type: "failed", message, stack });
    link.exit(1);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  link.onMessage((message) => {
    switch (message.type) {
      case "host":
        start(message, link, fail).then((started) => {
          server = started.server;
          server.leaseUntilMs = leaseUntilMs;
          drain = started.drain;
          link.send({ type: "running" });
        }, fail);
        break;
      case "lease":
        leaseUntilMs = message.untilMs;
        if (server) server.leaseUntilMs = leaseUntilMs;
        link.send({ type: "load", ...(server?.load ?? { mailbox: 0, calls: 0 }) });
        break;
      case "drain":
        drain();
    }
  });
}

async function start(
  { entry, module, bus: access }: Extract<ToActor, { type: "host" }>,
  link: HostLink,
  fail: (error: unknown) => void,
) {
  const { name, kind: kindName, incarnation, restarts } = entry;
  const kind = await loadKind(module, kindName);
  const secrets = access.secrets === undefined ? undefined : link.secretsIn(access.secrets);
  const bus = await openBus(access.url, {
    name: `proxima actor ${name}`,
    credentials: access.credentials,
    ...secrets?.bus,
    timeoutMs: CONNECT_MS,
  });
  const log = (message: string) => link.send({ type: "log", message });
  let system: ActorSystem | undefined;
  const context: ActorContext = {
    name,
    restarts,
    bus,
    security: secrets?.client,
    weights: access.weights,
    get system() {
      system ??= new ActorSystem(bus);
      return system;
    },
    log,
    fail,
  };
  const args = decodeData(
    Uint8Array.from(atob(entry.arguments), (c) => c.charCodeAt(0)),
    `the arguments of ${name}`,
  );
  const made = await kind.create(args, context);
  const server = new CallServer(entry, made, log);
  const { signal } = new AbortController(); // served to the end, so that late calls are refused in words
  await bus.serve(cancelSubject(name, incarnation), (data) => server.cancel(data), { signal });
  await bus.serve(callSubject(name, incarnation), (data) => server.answer(data), { signal });
  const drain = async () => {
    try {
      await server.drain();
      await (made as Partial<AsyncDisposable>)[Symbol.asyncDispose]?.();
      await system?.close();
      await bus.close();
      link.send({ type: "drained" });
      link.exit(0);
    } catch (error) {
      fail(error);
    }
  };
  return { server, drain };
}

/** The export of a module that is the kind of that name. */
async function loadKind(module: string, name: string): Promise<Kind<unknown, object>> {
  const exported: Record<string, unknown> = await import(module);
  const kinds = Object.values(exported).filter(
    (value): value is Kind<unknown, object> => typeof (value as Kind<unknown, object>)?.create === "function",
  );
  const found = kinds.find((kind) => kind.name === name);
  if (found) return found;
  const names = kinds.map((kind) => `'${kind.name}'`).join(", ");
  throw new Error(
    `${module} exports no kind '${name}' (${names ? `only ${names}` : "it exports no kind at all"}): export what defineKind() returns.`,
  );
}
