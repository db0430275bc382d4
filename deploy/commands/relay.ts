import { hostname } from "node:os";
import { ConfigError, defineConfig, formatConfig, resolveConfig } from "../../proto/config.ts";
import { type Command, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { relay } from "../relay.ts";
import { roleSecrets } from "../secrets/role-secrets.ts";

const schema = defineConfig({
  title: "relay",
  fields: {
    run: {
      section: "relay",
      type: "text",
      default: "",
      pattern: /^([A-Za-z0-9_-]{1,64})?$/,
      expects: "at most 64 letters, digits, - or _",
      about: "Run whose weights are relayed.",
    },
    upstream: {
      section: "relay",
      type: "text",
      default: "",
      pattern: /^([^\s/]+:\d{1,5})?$/,
      expects: "host:port",
      about: "Where weights come from: the learner's weights address, or another relay.",
    },
    host: {
      section: "relay",
      type: "text",
      default: "127.0.0.1",
      about: "Address on which weights are served; other than loopback needs TLS and credentials.",
    },
    port: {
      section: "relay",
      type: "integer",
      default: 7400,
      min: 0,
      max: 65_535,
      about: "Port on which weights are served; 0: any free one.",
    },
    secrets: {
      section: "relay",
      type: "text",
      default: "",
      about: "Folder made by `proxima secure init`, with the relay's part; PROXIMA_SECRETS when empty.",
    },
    graceMs: {
      section: "relay",
      type: "integer",
      default: 5_000,
      min: 0,
      unit: "ms",
      about: "When asked to stop: how long subscribers that are still receiving may take.",
    },
  },
  check: ({ run, upstream }) => [
    ...(run === "" ? ["a relay serves one run: name it with --run NAME"] : []),
    ...(upstream === ""
      ? ["a relay passes on what another address serves: --upstream host:port ('proxima learner' says its own)"]
      : []),
  ],
});

export const command: Command = {
  usage: "proxima relay --run NAME --upstream HOST:PORT [--host HOST] [--port PORT]",
  about:
    "Receives a run's weights once and serves them to many: actors with --weights HOST:PORT, or further relays. What it passes on is verified, under the learner's number and hash.",
  schema,
  examples: [
    "proxima relay --run alfworld-3 --upstream learner-host:7400",
    "proxima actor --run alfworld-3 --weights 127.0.0.1:7400",
  ],
  async run({ arguments: given, output, signal }) {
    const resolved = resolveConfig(schema, givenLayers(given, schema));
    const { config } = resolved;
    output.say(formatConfig(schema, resolved));
    output.event("config", { config, origins: resolved.origins });
    const secrets = roleSecrets(config.secrets, "relay");
    let state = "";
    const serving = await relay({
      ...config,
      ...secrets?.server,
      upstreamSecurity: secrets?.client,
      name: `relay-${hostname()}-${process.pid}`,
      onWeights({ version }) {
        const subscribers = serving.subscribers().length;
        output.event("weights", { ...version, subscribers });
        output.say(`Version ${version.counter} (${version.sha256.slice(0, 12)}) goes to ${subscribers} subscribers.`);
      },
      onStatus(status) {
        output.event("upstream", status);
        if (status.state === state) return;
        state = status.state;
        output.say(`Upstream ${config.upstream}: ${state}${status.reason ? ` (${status.reason})` : ""}`);
      },
    }).catch((error) => {
      throw error instanceof TypeError ? new ConfigError([error.message]) : error;
    });
    output.event("ready", { address: serving.address });
    output.say(`Weights of run ${config.run} at ${serving.address}; actors use them with --weights ${serving.address}`);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await serving.close(config.graceMs);
    return exitCodes.ok;
  },
};
