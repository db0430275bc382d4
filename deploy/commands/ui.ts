import { readFile } from "node:fs/promises";
import { actorSchema } from "../../actors/config.ts";
import { defineConfig, resolveConfig } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { roleSecrets } from "../secrets/role-secrets.ts";
import { serveUi } from "../ui/server.ts";
import { WatchedRuns } from "../ui/watched-runs.ts";

const schema = defineConfig({
  title: "ui",
  fields: {
    run: {
      section: "page",
      type: "text",
      default: "",
      about: "Run to show first; the newest when empty.",
    },
    compare: {
      section: "page",
      type: "text",
      default: "",
      about: "Further runs to show beside it, separated by commas.",
    },
    port: {
      section: "page",
      type: "integer",
      default: 4700,
      min: 0,
      max: 65_535,
      about: "Port on loopback; 0: any free one.",
    },
    nats: {
      ...actorSchema.fields.nats,
      section: "page",
      default: "",
      pattern: /^((nats|tls|ws|wss):\/\/[^@]+)?$/,
      about: "Broker whose nodes are shown; that of the run's learner when empty.",
    },
    natsCredentials: { ...actorSchema.fields.natsCredentials, section: "page" },
    secrets: {
      section: "page",
      type: "text",
      default: "",
      about:
        "Folder made by `proxima secure init`, with the viewer's files, by which secured learners tell how they fare; PROXIMA_SECRETS when empty. A viewer steers nothing.",
    },
    allowHost: {
      section: "page",
      type: "text",
      default: "",
      about:
        "Names by which a reverse proxy may ask, separated by commas. The proxy answers for TLS and for who may steer runs.",
    },
  },
});

export const command: Command = {
  usage: "proxima ui [--run NAME] [--port N] | proxima ui runs/a runs/b…",
  about:
    "Serves a page that shows runs, those under way and those that have ended: progress, where time goes, actors, the ledger, and the credit of every step. A run whose learner is alive can be paused, resumed and checkpointed from it.",
  takesWords: true,
  schema,
  examples: ["proxima ui --run alfworld-1", "proxima ui runs/alfworld-*"],
  async run({ arguments: given, output, signal }) {
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    const shown = [config.run, ...listed(config.compare)].filter(Boolean);
    const secrets = roleSecrets(config.secrets, "viewer");
    const security = secrets?.client;
    const credentials = config.natsCredentials === "" ? undefined : await readFile(config.natsCredentials, "utf8");
    const runs =
      given.words.length > 0
        ? WatchedRuns.ofPaths(given.words, security)
        : WatchedRuns.ofFolder("runs", shown, security);
    const ui = await serveUi(runs, {
      port: config.port,
      allowedHosts: listed(config.allowHost.toLowerCase()),
      nodes: { nats: config.nats, access: { credentials, ...secrets?.bus } },
    });
    output.event("ui", { url: ui.url });
    output.say(`${ui.url} shows ${runs.names().length} runs until stopped (Ctrl-C).`);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await ui.close();
    return exitCodes.ok;
  },
};

const listed = (text: string) =>
  text
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);
