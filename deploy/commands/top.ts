import { readFile } from "node:fs/promises";
import { actorSchema } from "../../actors/config.ts";
import { openBus } from "../../proto/bus/index.ts";
import { sleep } from "../../proto/bus/timers.ts";
import { defineConfig, resolveConfig } from "../../proto/config.ts";
import { ClusterObserver } from "../cluster.ts";
import { renderCluster } from "../cluster-view.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { LiveBlock } from "../live-block.ts";
import { roleSecrets } from "../secrets/role-secrets.ts";

const { nats, natsCredentials, secrets } = actorSchema.fields;

const schema = defineConfig({
  title: "top",
  fields: {
    nats,
    natsCredentials,
    secrets,
    once: { section: "view", type: "flag", default: false, about: "Show the present state once, in full, and end." },
    intervalMs: {
      section: "view",
      type: "integer",
      default: 1_000,
      min: 100,
      unit: "ms",
      about: "Time between two looks.",
    },
  },
});

/** How long a learner may take to answer: a live view must go on. */
const PATIENCE_MS = 5_000;
const LIVE_PATIENCE_MS = 1_000;

/** Rows of each table in the live view; --once shows all. */
const LIVE_ROWS = 16;

export const command: Command = {
  usage: "proxima top [--nats URL] [--once] [--json]",
  about:
    "Shows what there is on a broker: nodes with what they offer, actors with their state, restarts and mailboxes, and each run with its groups in flight and how far its players' weights lag. Live on a terminal; with --json one object a line.",
  schema,
  examples: ["proxima top --nats nats://learner-host:4222", "proxima top --once --json"],
  async run({ arguments: given, output, signal }) {
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    const credentials = config.natsCredentials === "" ? undefined : await readFile(config.natsCredentials, "utf8");
    const secrets = roleSecrets(config.secrets, "viewer");
    const options = { name: "proxima top", credentials, ...secrets?.bus, timeoutMs: 5_000, signal };
    const bus = await openBus(config.nats, options);
    const patienceMs = config.once ? PATIENCE_MS : LIVE_PATIENCE_MS;
    const observer = new ClusterObserver(bus, patienceMs, secrets?.client);
    const { stdout } = process;
    const isLive = !config.once && !output.json && stdout.isTTY && process.env.TERM !== "dumb";
    const block = isLive
      ? new LiveBlock({
          write: (text) => void stdout.write(text),
          columns: () => stdout.columns || 80,
          rows: () => stdout.rows || 24,
        })
      : undefined;
    try {
      while (!signal.aborted) {
        const cluster = await observer.look();
        output.event("cluster", cluster);
        if (block) block.draw(renderCluster(cluster, LIVE_ROWS));
        else output.say(renderCluster(cluster).join("\n"));
        if (config.once) break;
        await sleep(config.intervalMs, signal).catch(() => {});
        if (!block && !signal.aborted) output.say("");
      }
    } finally {
      block?.close();
      await observer.close();
      await bus.close();
    }
    return exitCodes.ok;
  },
};
