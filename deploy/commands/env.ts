import { once } from "node:events";
import { readFileSync } from "node:fs";
import { checkEnvironment, renderReport } from "../../envs/check.ts";
import { environment, environments, loadEnvironment } from "../../envs/registry.ts";
import { serveEnvironment } from "../../envs/serve.ts";
import { serveSite } from "../../envs/webshop/site.ts";
import { ConfigError, type ConfigOf, defineConfig, resolveConfig } from "../../proto/config.ts";
import { type Command, type CommandContext, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { bundleSettings, keygen, pack, push, swap } from "./env-bundles.ts";

const schema = defineConfig({
  title: "env",
  fields: {
    envArguments: {
      section: "environment",
      type: "options",
      prefix: "env",
      about: "Arguments of the environment that is checked, served or swapped to.",
    },
    episodes: {
      section: "check",
      type: "integer",
      default: 20,
      min: 1,
      max: 100_000,
      about: "Random episodes to play.",
    },
    seed: {
      section: "check",
      type: "integer",
      default: 1,
      min: 0,
      max: 0xffff_ffff,
      about: "Of tasks, seeds and actions.",
    },
    deadlineMs: {
      section: "check",
      type: "integer",
      default: 10_000,
      min: 1,
      unit: "ms",
      about: "For each call of the environment.",
    },
    host: {
      section: "serve",
      type: "text",
      default: "127.0.0.1",
      about: "Address; others than loopback need cert, key and token.",
    },
    port: {
      section: "serve",
      type: "integer",
      default: 7500,
      min: 0,
      max: 65_535,
      about: "Port; 0: any that is free.",
    },
    web: {
      section: "serve",
      type: "flag",
      default: false,
      about: "Shows webshop in a browser on this machine instead, for a person to play.",
    },
    sessions: {
      section: "serve",
      type: "integer",
      default: 1024,
      min: 1,
      max: 1_000_000,
      about: "Episodes at once, of all clients together.",
    },
    token: {
      section: "serve",
      type: "text",
      default: "",
      about: "What clients must know; PROXIMA_ENV_TOKEN when empty, nothing when that is empty too.",
    },
    cert: {
      section: "serve",
      type: "text",
      default: "",
      about: "PEM file of the server's certificate; without it there is no TLS.",
    },
    key: { section: "serve", type: "text", default: "", about: "PEM file of the certificate's key." },
    ...bundleSettings,
  },
});

export const command: Command = {
  usage:
    "proxima env list | check ID|FILE | serve ID|FILE | keygen [NAME] | pack FILE | push FILE | swap [--env.NAME VALUE]…",
  about:
    "Lists the built-in environments with their arguments; holds one (built in, or in a file of yours) against the contract that training relies on; serves it over gRPC, to --env remote and to other languages (webshop also to a person's browser); or packs, signs and pushes it as a bundle and swaps it into a run that trains.",
  schema,
  takesWords: true,
  examples: [
    "proxima env check ./my-env.ts --env.difficulty 3",
    "proxima env serve scavenger --port 7500",
    "proxima env serve webshop --web",
    "proxima env push ./my-env.ts --run my-env-1",
    "proxima env swap --run my-env-1 --bundle 3fa2c07d91b4 --canary 0.1",
  ],
  async run(context) {
    const [what, id, ...rest] = context.arguments.words;
    if (what === "list" && id === undefined) return list(context);
    if (what === "check" && id !== undefined && rest.length === 0) return check(id, context);
    if (what === "serve" && id !== undefined && rest.length === 0) return serve(id, context);
    if (what === "keygen" && rest.length === 0) return keygen(id ?? "default", context);
    if (what === "pack" && id !== undefined && rest.length === 0) return pack(id, settings(context), context);
    if (what === "push" && id !== undefined && rest.length === 0) return push(id, settings(context), context);
    if (what === "swap" && id === undefined) return swap(settings(context), context);
    throw new ConfigError([`expected ${command.usage}; found 'env ${context.arguments.words.join(" ")}'`]);
  },
};

async function list({ output }: CommandContext): Promise<number> {
  for (const { id, summary, arguments: declared, trainingDefaults } of await environments()) {
    output.event("environment", { id, summary, arguments: declared, trainingDefaults });
    output.say(`${id}: ${summary}`);
    for (const [name, { default: value, about }] of Object.entries(declared)) {
      output.say(`    --env.${name} ${JSON.stringify(value)}  ${about}`);
    }
  }
  return exitCodes.ok;
}

function settings({ arguments: given }: CommandContext): ConfigOf<typeof schema> {
  return resolveConfig(schema, givenLayers(given, schema)).config;
}

async function check(id: string, context: CommandContext): Promise<number> {
  const { output, signal } = context;
  const config = settings(context);
  const { definition } = await environment(id);
  const { episodes, seed, deadlineMs } = config;
  const report = await checkEnvironment(definition, config.envArguments, { episodes, seed, deadlineMs, signal });
  output.event("report", report);
  output.say(renderReport(report));
  return report.ok ? exitCodes.ok : exitCodes.failure;
}

async function serve(id: string, context: CommandContext): Promise<number> {
  const { output, signal } = context;
  const { envArguments, host, port, sessions, ...config } = settings(context);
  if (config.web) {
    if (host !== "127.0.0.1") throw new ConfigError([`web: the site is for this machine only, found host = "${host}"`]);
    const { source } = await loadEnvironment(id, { ...envArguments, observation: "html", actions: "text" });
    const site = await serveSite(source, { port });
    output.event("serving", { environment: id, address: site.url });
    output.say(`Open ${site.url} in a browser. Ctrl-C ends it.`);
    if (!signal.aborted) await once(signal, "abort");
    await site.close();
    return exitCodes.ok;
  }
  const token = config.token || process.env.PROXIMA_ENV_TOKEN || undefined;
  const pem = (path: string) => (path === "" ? undefined : readFileSync(path, "utf8"));
  const tls = config.cert || config.key ? { cert: pem(config.cert), key: pem(config.key) } : undefined;
  const served = await loadEnvironment(id, envArguments);
  const server = await serveEnvironment(served, { host, port, token, tls, maxSessions: sessions });
  const { spec } = served.source;
  output.event("serving", { environment: spec.id, address: server.address, arguments: served.arguments });
  output.say(
    `Serving ${spec.id} at ${server.address}. Train on it with: proxima dev --env remote --env.address ${server.address}`,
  );
  if (!signal.aborted) await once(signal, "abort");
  await server.close();
  return exitCodes.ok;
}
