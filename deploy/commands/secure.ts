import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { ConfigError, type ConfigOf, defineConfig, resolveConfig } from "../../proto/config.ts";
import { roles } from "../../proto/roles.ts";
import { isNatsServer } from "../broker.ts";
import { isAlive } from "../broker-finder.ts";
import { type Command, type CommandContext, exitCodes } from "../command.ts";
import { givenLayers } from "../config-file.ts";
import { invocation } from "../invocation.ts";
import { type Holder, secretFiles } from "../secrets/layout.ts";
import type { Issued } from "../secrets/secrets.ts";
import { left, table } from "../table.ts";

const names = { type: "text", pattern: /^([^\s,]+(,[^\s,]+)*)?$/, expects: "words joined by commas" } as const;

const schema = defineConfig({
  title: "secure",
  fields: {
    dir: { section: "secrets", type: "text", default: "secrets", about: "Folder of the authority and of all roles." },
    runs: {
      section: "init, allow",
      ...names,
      default: "",
      about: "Runs that the roles may work on, joined by commas: the broker permits no others.",
    },
    hosts: {
      section: "init",
      ...names,
      default: "",
      about: "Names and addresses of broker and learner besides loopback, joined by commas.",
    },
    listen: {
      section: "init",
      type: "text",
      default: "",
      pattern: /^([^\s/]+:\d{1,5})?$/,
      expects: "host:port",
      about: "Where the broker listens; when empty 0.0.0.0:4222 if there are hosts, else 127.0.0.1:4222.",
    },
    days: {
      section: "init",
      type: "integer",
      default: 365,
      min: 1,
      max: 3650,
      unit: "days",
      about: "How long certificates are valid.",
    },
    role: {
      section: "rotate",
      type: "choice",
      default: "node",
      choices: ["broker", "operator", "learner", "node", "relay", "viewer"],
      about: "Whose certificate, key and token are renewed.",
    },
    graceHours: {
      section: "rotate",
      type: "number",
      default: 24,
      min: 0,
      unit: "hours",
      about: "How long the old key and token work beside the new; 0 shuts out whoever has them.",
    },
  },
});

type Settings = ConfigOf<typeof schema>;

export const command: Command = {
  usage: "proxima secure init|allow --runs NAME,… | secure show | secure rotate --role ROLE | secure retire",
  about:
    "Makes and renews what a cluster needs to trust its members: an authority, certificates, keys and permissions for the broker, tokens for the learner, one folder for each role. The other commands take it as --secrets DIR. See docs/security.md.",
  schema,
  takesWords: true,
  examples: [
    "proxima secure init --runs walk --hosts learner-host,10.0.0.5",
    "nats-server -c secrets/nats.conf",
    "proxima secure rotate --role node --graceHours 24",
  ],
  async run(context) {
    const given = context.arguments;
    const { config } = resolveConfig(schema, givenLayers(given, schema));
    const [what = "", ...rest] = given.words;
    const act = actions[what];
    if (!act || rest.length > 0) {
      throw new ConfigError([`expected ${command.usage}; found 'secure ${given.words.join(" ")}'`]);
    }
    await act(config, context);
    return exitCodes.ok;
  },
};

const list = (text: string) => text.split(",").filter((word) => word !== "");

const actions: Readonly<Record<string, (config: Settings, context: CommandContext) => Promise<void>>> = {
  async init(config, context) {
    const { initSecrets } = await import("../secrets/secrets.ts");
    const hosts = list(config.hosts);
    const runs = runsOf(config);
    const listen = config.listen || (hosts.length > 0 ? "0.0.0.0:4222" : "127.0.0.1:4222");
    const issued = await initSecrets(config.dir, { hosts, days: config.days, listen, runs });
    tell(config.dir, issued, context);
    context.output.say(
      [
        "",
        "Next:",
        `  nats-server -c ${secretFiles(config.dir).brokerConfig}`,
        `  ${invocation()} learner --nats nats://HOST:4222 --secrets ${config.dir} --run ${runs[0]}`,
        `  ${invocation()} actor --nats nats://HOST:4222 --secrets ${config.dir} --run ${runs[0]}`,
        `Copy to a machine only the folder of its role (${config.dir}/node, say), and keep ${secretFiles(config.dir).authority.key} off all of them.`,
      ].join("\n"),
    );
  },

  async show(config, context) {
    const { readIssued } = await import("../secrets/secrets.ts");
    tell(config.dir, readIssued(config.dir), context);
  },

  async allow(config, context) {
    const { allowRuns } = await import("../secrets/secrets.ts");
    tell(config.dir, allowRuns(config.dir, runsOf(config)), context);
    await reloadBroker(config.dir, context);
  },

  async rotate(config, context) {
    const { rotateSecrets } = await import("../secrets/secrets.ts");
    const { dir, graceHours } = config;
    const holder = config.role as Holder;
    tell(dir, await rotateSecrets(dir, holder, graceHours * 3_600_000), context);
    await reloadBroker(dir, context);
    const { folder } = secretFiles(dir).of(holder);
    const first =
      holder === "broker"
        ? ""
        : `${secretFiles(dir).of("learner").access} to the machines of learner and relays, then `;
    context.output.say(
      `Copy ${first}${folder} to the machines that hold it; running processes read it again by themselves.`,
    );
    if (graceHours > 0 && holder !== "broker") {
      context.output.say(`The broker takes the old key until '${invocation()} secure retire' after ${graceHours} h.`);
    }
  },

  async retire(config, context) {
    const { retireSecrets } = await import("../secrets/secrets.ts");
    tell(config.dir, retireSecrets(config.dir), context);
    await reloadBroker(config.dir, context);
  },
};

function runsOf({ runs }: Settings): string[] {
  if (list(runs).length > 0) return list(runs);
  throw new ConfigError([
    "say which runs the roles may work on: --runs NAME[,NAME]…; 'proxima secure allow' adds more",
  ]);
}

function tell(dir: string, issued: Issued, { output }: CommandContext): void {
  const files = secretFiles(dir);
  const holders: Holder[] = ["broker", ...roles];
  const certificates = holders.map((holder) => {
    const { cert, folder } = files.of(holder);
    const { validTo, serialNumber } = new X509Certificate(readFileSync(cert));
    return { holder, folder, serialNumber, validUntil: new Date(validTo).toISOString() };
  });
  const { listen, hosts, runs } = issued;
  const credentials = issued.credentials.map(({ role, nkey, issued: since, until }) => ({ role, nkey, since, until }));
  output.event("secrets", { dir: resolve(dir), listen, hosts, runs, certificates, credentials });
  output.say(`Secrets in ${dir}/ for ${runs.length === 1 ? "run" : "runs"} ${runs.join(", ")}; broker at ${listen}.\n`);
  output.say(
    table(
      ["role", "folder", "certificate until", "keys and tokens"].map(left),
      certificates.map(({ holder, folder, validUntil }) => {
        const own = credentials.filter(({ role }) => role === holder);
        const old = own.filter(({ until }) => until !== undefined).map(({ until }) => until!.slice(0, 16));
        const keys =
          holder === "broker" ? "" : `1${old.length ? ` and ${old.length} old (until ${old.join(", ")})` : ""}`;
        return [holder, folder, validUntil.slice(0, 10), keys];
      }),
    ),
  );
}

/** A broker on this machine that runs with our configuration reads it again; clients that are no longer known are cut off. */
async function reloadBroker(dir: string, { output }: CommandContext): Promise<void> {
  const { brokerPid, brokerConfig } = secretFiles(dir);
  const pid = statSync(brokerPid, { throwIfNoEntry: false }) ? Number(readFileSync(brokerPid, "utf8")) : 0;
  if (pid > 0 && isAlive(pid) && (await isNatsServer(pid))) {
    process.kill(pid, "SIGHUP");
    output.event("reloaded", { pid });
    output.say(`The broker, process ${pid}, reads its configuration again.`);
  } else {
    output.say(
      `No broker with ${brokerConfig} runs on this machine: where one does, copy the file and send it SIGHUP.`,
    );
  }
}
