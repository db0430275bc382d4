import { readFile } from "node:fs/promises";
import { availableParallelism, hostname, totalmem } from "node:os";
import { resolve } from "node:path";
import { actorSchema } from "../../actors/config.ts";
import { checkLabels, type Labels } from "../../actors/system/entry.ts";
import { ActorNode, type NodeEvent } from "../../actors/system/node.ts";
import { DEFAULT_LEASE_MS, nodesBucket } from "../../proto/actor-subjects.ts";
import { AbsentBucketError, type Bus, ConnectError, type NatsOptions, openBus } from "../../proto/bus/index.ts";
import { sleep } from "../../proto/bus/timers.ts";
import { ConfigError, type ConfigOf, defineConfig, resolveConfig } from "../../proto/config.ts";
import { offeredRuntimes, openVessel } from "../actor-vessels.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import type { Output } from "../output.ts";
import { roleSecrets, secretsFolder } from "../secrets/role-secrets.ts";

const { name, nats, natsCredentials, secrets, weights } = actorSchema.fields;

export const labelsField = {
  section: "offer",
  type: "text",
  default: "",
  pattern: /^([\w.-]+=[\w.-]+(,[\w.-]+=[\w.-]+)*)?$/,
  expects: "name=value, several joined by commas",
  about: "What actors may ask for by label, such as gpu=false,zone=a.",
} as const;

const schema = defineConfig({
  title: "node",
  fields: {
    name: {
      ...name,
      section: "node",
      about: "Name in the directory, unique among living nodes; host name and process id when empty.",
    },
    cpus: {
      section: "offer",
      type: "number",
      default: 0,
      min: 0,
      unit: "cpus",
      about: "What actors on this node may take together; 0: as many as the machine has.",
    },
    memory: {
      section: "offer",
      type: "number",
      default: 0,
      min: 0,
      unit: "bytes",
      about: "The same for memory; 0: all that the machine has.",
    },
    labels: labelsField,
    modules: {
      section: "offer",
      type: "text",
      default: ".",
      about: "Folders, joined by commas, from which actors' modules may be loaded besides Proxima's own.",
    },
    nats,
    natsCredentials,
    secrets,
    weights: {
      ...weights,
      about:
        "Where this node's rollout actors have weights (a relay near by, say); the learner's own address when empty.",
    },
    leaseMs: {
      section: "deadlines",
      type: "integer",
      default: DEFAULT_LEASE_MS,
      min: 500,
      unit: "ms",
      about:
        "A node not heard of for this long is dead, and its actors start elsewhere; the same on all nodes of a broker.",
    },
    graceMs: {
      section: "deadlines",
      type: "integer",
      default: 25_000,
      min: 0,
      unit: "ms",
      about: "When asked to stop: how long actors may still take to finish before they are ended and start elsewhere.",
    },
  },
});

type NodeConfig = ConfigOf<typeof schema>;

export const command: Command = {
  usage: "proxima node [--cpus N] [--labels NAME=VALUE,…] [--nats URL] [--key value]…",
  about:
    "Offers this machine to actors: takes those that fit from the broker's queues, runs each in a process of its own, and starts it again when it dies. Start one on every machine; any of them may come, go or die at any time. On Ctrl-C or SIGTERM actors finish what they do and move to other nodes.",
  schema,
  examples: ["proxima node --cpus 8 --labels gpu=false --nats nats://learner-host:4222"],
  async run({ arguments: given, output, signal }) {
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    await runNode(config, output, signal);
    return exitCodes.ok;
  },
};

async function runNode(config: NodeConfig, output: Output, signal: AbortSignal): Promise<void> {
  const credentials = config.natsCredentials === "" ? undefined : await readFile(config.natsCredentials, "utf8");
  const secrets = roleSecrets(config.secrets, "node");
  const labels = parseLabels(config.labels);
  const host = hostname();
  const options = {
    name: config.name || `${host.replace(/[^\w-]+/g, "-").slice(0, 48)}-${process.pid}`,
    host,
    pid: process.pid,
    cpus: config.cpus || availableParallelism(),
    memory: config.memory || totalmem(),
    labels,
    runtimes: await offeredRuntimes(),
    leaseMs: config.leaseMs,
    graceMs: config.graceMs,
    maxStarting: 2 * availableParallelism(),
  };
  const access = { name: `proxima node ${options.name}`, credentials, ...secrets?.bus };
  const bus = await untilReached(config, access, output, signal);
  try {
    const node = new ActorNode(options, {
      bus,
      access: {
        url: config.nats,
        credentials,
        secrets: secrets && resolve(secretsFolder(config.secrets)!),
        weights: config.weights || undefined,
      },
      modules: config.modules.split(",").filter(Boolean),
      vessel: openVessel,
      onEvent: (event) => {
        output.event(event.type, event);
        output.say(inWords(event));
      },
    });
    await node.run(signal, () => {
      const { name, cpus, memory, runtimes } = options;
      output.event("offers", { name, cpus, memory, labels, runtimes });
      const parts = [`${cpus} cpus`, `${(memory / 1e9).toFixed(1)} GB`];
      if (config.labels) parts.push(`labels ${config.labels}`);
      output.say(`Node ${name} offers ${parts.join(", ")}; runtimes: ${runtimes.join(", ")}.`);
      output.say(
        "It waits for actors, which somebody must spawn ('proxima learner --actors 64', or your own program); 'proxima top' shows them.",
      );
      signal.addEventListener("abort", () =>
        output.say(`Stopping: actors may finish within ${config.graceMs / 1000} s; once more to stop at once.`),
      );
    });
  } finally {
    await bus.close();
  }
}

/** A node may be there before its broker, and before the learner that may make what nodes meet in. */
async function untilReached(
  { nats, leaseMs }: NodeConfig,
  access: Partial<NatsOptions>,
  output: Output,
  signal: AbortSignal,
): Promise<Bus> {
  for (let waits: "broker" | "learner" | undefined; ; ) {
    let bus: Bus | undefined;
    try {
      bus = await openBus(nats, { ...access, timeoutMs: 5_000, signal });
      await bus.keyValue(nodesBucket, { ttlMs: leaseMs });
      return bus;
    } catch (error) {
      await bus?.close();
      const isEarly = error instanceof AbsentBucketError;
      if (!isEarly && !(error instanceof ConnectError && error.reason === "unreachable")) throw error;
      const before = waits;
      waits = isEarly ? "learner" : "broker";
      if (waits !== before) {
        const message = isEarly
          ? `Waits for a learner: at ${nats} nobody has made the directory of nodes, and this role may not.`
          : `Waits for the broker at ${nats}: ${error.message}`;
        output.say(message);
        output.event("waits", { message });
      }
      await sleep(1_000, signal);
    }
  }
}

export function parseLabels(text: string): Labels {
  const pairs = text === "" ? [] : text.split(",").map((pair) => pair.split("=") as [string, string]);
  try {
    return checkLabels(Object.fromEntries(pairs));
  } catch (error) {
    throw new ConfigError([(error as Error).message]);
  }
}

function inWords(event: NodeEvent): string {
  switch (event.type) {
    case "started":
      return `+ ${event.actor} (${event.kind}) starts as ${event.pid ? `process ${event.pid}` : "a thread"}`;
    case "running":
      return `  ${event.actor} runs`;
    case "died": {
      const count = `${event.deathsInARow} of ${event.maxRestarts}`;
      return `! ${event.actor} ${event.because}\n  It starts again in ${event.pauseMs / 1000} s (${count}).`;
    }
    case "failed":
      return `! ${event.actor} is given up: ${event.because}`;
    case "ended":
      return `- ${event.actor} ${endings[event.how]}`;
    case "line":
      return `  ${event.actor}: ${event.line}`;
    case "notice":
      return `! This node ${event.message}`;
  }
}

const endings = {
  drained: "has finished, as was asked",
  killed: "was killed, as was asked",
  moved: "has finished here and goes to another node",
  replaced: "was taken over by another node while this one was away",
  done: "has ended by itself",
};
