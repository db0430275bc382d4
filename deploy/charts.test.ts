/**
 * The files by which Proxima is deployed, checked by their own tools: Helm, the Kubernetes API's types, the Compose specification, sh,
 * systemd. `deploy/ci/tools.sh` builds those that need Go; without them these tests say that they skip.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { actorSchema } from "../actors/config.ts";
import { runSchema } from "../learner/config.ts";
import { subjects } from "../proto/subjects.ts";
import { parseArguments } from "./arguments.ts";
import { command as relay } from "./commands/relay.ts";
import { secretFiles } from "./secrets/layout.ts";

setDefaultTimeout(60_000);

const root = resolve(import.meta.dirname, "..");
const tools = join(root, ".cache/deploy-tools");
const tool = (name: string) => join(tools, name);
const haveTools = ["helm", "manifests", "compose", "scaledobjects.yaml"].every((name) => existsSync(tool(name)));
if (!haveTools)
  console.warn("Skipping the checks of Helm chart and Compose file: run deploy/ci/tools.sh (needs Go) first.");
const folder = mkdtempSync(join(tmpdir(), "proxima-charts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(command: string, args: readonly string[], options: { cwd?: string; input?: string } = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", ...options });
  return { status, out: stdout ?? "", err: `${stderr ?? ""}${error?.message ?? ""}` };
}

interface Manifest {
  kind: string;
  metadata: { name: string };
  // biome-ignore lint/suspicious/noExplicitAny: manifests are read field by field
  spec: any;
}

describe.skipIf(!haveTools)("the Helm chart", () => {
  // NATS' own chart comes from its repository when the chart is packaged. Here an empty one of that name stands for it.
  const chart = join(folder, "proxima");
  cpSync(join(root, "deploy/helm/proxima"), chart, { recursive: true });
  const version = /name: nats\n\s+version: (\S+)/.exec(readFileSync(join(chart, "Chart.yaml"), "utf8"))![1];
  mkdirSync(join(chart, "charts/nats"), { recursive: true });
  writeFileSync(join(chart, "charts/nats/Chart.yaml"), `apiVersion: v2\nname: nats\nversion: ${version}\n`);

  const template = (...args: string[]) =>
    run(tool("helm"), ["template", "walk", chart, "--namespace", "rl", "--kube-version", "1.30.0", ...args]);
  const manifests = (...args: string[]): Manifest[] => {
    const { status, out, err } = template(...args);
    if (status !== 0) throw new Error(err);
    return (Bun.YAML.parse(out) as (Manifest | null)[]).filter((each) => each !== null);
  };
  const find = (all: readonly Manifest[], kind: string, name: string) =>
    all.find((each) => each.kind === kind && each.metadata.name === `walk-proxima-${name}`)!;

  test("passes helm lint", () => {
    const { status, out, err } = run(tool("helm"), ["lint", "--strict", chart]);
    expect(status, `${out}${err}`).toBe(0);
  });

  test.each([
    ["its own values", []],
    ["one NATS server", ["-f", join(chart, "values-nats-1.yaml")]],
    ["three NATS servers", ["-f", join(chart, "values-nats-3.yaml")]],
    [
      "a broker that is there, and no autoscaling",
      ["--set", "nats.enabled=false,natsUrl=nats://b:4222,actors.autoscaling.enabled=false"],
    ],
    ["relays", ["--set", "relay.enabled=true"]],
  ])("with %s gives manifests that are the Kubernetes API's and KEDA's, field by field", (_, args) => {
    const { out, status, err } = template(...args);
    expect(status, err).toBe(0);
    const checked = run(tool("manifests"), [tool("scaledobjects.yaml")], { input: out });
    expect(checked.err).toBe("");
    expect(checked.out.split("\n").filter((line) => line.startsWith("unknown"))).toEqual([]);
  });

  test("would be refused by KEDA's own schema with a field that KEDA does not know, or a number as text", () => {
    const { out } = template();
    const check = (from: string, to: string) => {
      expect(out).toContain(from);
      return run(tool("manifests"), [tool("scaledobjects.yaml")], { input: out.replace(from, to) }).err;
    };
    expect(check("pollingInterval:", "pollInterval:")).toContain('unknown field "spec.pollInterval"');
    expect(check("minReplicaCount: 1", 'minReplicaCount: "1"')).toContain(
      "spec.minReplicaCount in body must be of type",
    );
  });

  test("refuses values that do not exist or do not fit, and a chart without a broker", () => {
    expect(template("--set", "learner.replicas=2").err).toMatch(/additional properties 'replicas' not allowed/i);
    expect(template("--set", "run=a b").err).toContain("pattern");
    expect(template("--set", "nats.enabled=false").err).toContain("name the broker with natsUrl");
  });

  test("gives learner and actors settings that exist", () => {
    const all = manifests("--set", "learner.settings.groupSize=4,actors.settings.slots=8");
    const args = (kind: string, name: string): string[] => find(all, kind, name).spec.template.spec.containers[0].args;
    const [name, ...learner] = args("StatefulSet", "learner");
    expect(name).toBe("run-1");
    expect(parseArguments(learner, runSchema).settings).toMatchObject({ groupSize: "4", weightsHost: "0.0.0.0" });
    const actor = parseArguments(args("Deployment", "actors"), actorSchema).settings;
    expect(actor).toMatchObject({ slots: "8", run: "run-1", weights: "walk-proxima-learner:7400" });
    for (const key of Object.keys(actor)) expect(Object.keys(actorSchema.fields)).toContain(key);
    for (const key of Object.keys(parseArguments(learner, runSchema).settings)) {
      expect(Object.keys(runSchema.fields)).toContain(key);
    }
  });

  test("scales actors by the lag of the queue that they share", () => {
    const { triggers, minReplicaCount, maxReplicaCount, scaleTargetRef } = find(
      manifests("--set", "run=alfworld-3"),
      "ScaledObject",
      "actors",
    ).spec;
    const { taskStream, taskConsumer } = subjects("alfworld-3");
    expect(triggers).toHaveLength(1);
    expect(triggers[0]).toMatchObject({
      type: "nats-jetstream",
      metadata: {
        stream: taskStream,
        consumer: taskConsumer,
        natsServerMonitoringEndpoint: "walk-nats-headless.rl.svc:8222",
      },
    });
    expect([minReplicaCount, maxReplicaCount, scaleTargetRef.name]).toEqual([1, 100, "walk-proxima-actors"]);
    expect(find(manifests(), "Deployment", "actors").spec.replicas).toBeUndefined();
  });

  test("gives actors longer to go than they take to drain", () => {
    for (const drainTimeoutMs of [0, 15_000, 60_500]) {
      const { spec } = find(manifests("--set", `actors.drainTimeoutMs=${drainTimeoutMs}`), "Deployment", "actors").spec
        .template;
      expect(spec.containers[0].args).toContain(`--drainTimeoutMs=${drainTimeoutMs}`);
      expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(drainTimeoutMs / 1000 + 5);
    }
  });

  test("runs everything without root, privileges, a writable root or the API's token", () => {
    const pods = manifests("--set", "relay.enabled=true").filter(
      ({ kind }) => kind === "Deployment" || kind === "StatefulSet",
    );
    expect(pods).toHaveLength(3);
    for (const { spec } of pods) {
      const pod = spec.template.spec;
      expect(pod.automountServiceAccountToken).toBe(false);
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
      expect(pod.containers[0].securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
    }
  });

  test("gives each role its own secrets and no other's", () => {
    const all = manifests();
    const paths = (kind: string, name: string): string[] =>
      find(all, kind, name)
        .spec.template.spec.volumes.find((volume: { name: string }) => volume.name === "secrets")
        .secret.items.map(({ path }: { path: string }) => path)
        .sort();
    const of = (role: "learner" | "node") => secretFiles("").of(role);
    const { folder: _l, ...learner } = of("learner");
    const { folder: _n, access: _a, ...node } = of("node");
    expect(paths("StatefulSet", "learner")).toEqual(Object.values(learner).sort());
    expect(paths("Deployment", "actors")).toEqual(Object.values(node).sort());
  });

  test("puts relays between learner and actors where they are wanted: settings that exist, the role's secrets, no way around", () => {
    expect(manifests().filter(({ metadata }) => metadata.name.includes("relay"))).toEqual([]);
    const all = manifests("--set", "relay.enabled=true,relay.port=7500,relay.replicas=3");
    const { replicas, template } = find(all, "Deployment", "relay").spec;
    expect(replicas).toBe(3);
    const { command, args } = template.spec.containers[0];
    expect([...command, args[0]]).toEqual(["proxima", "relay"]);
    const { settings } = parseArguments(args.slice(1), relay.schema);
    expect(settings).toMatchObject({
      upstream: "walk-proxima-learner:7400",
      run: "run-1",
      host: "0.0.0.0",
      port: "7500",
    });
    for (const key of Object.keys(settings)) expect(Object.keys(relay.schema.fields)).toContain(key);
    const { folder: _, ...files } = secretFiles("").of("relay");
    const items: { path: string }[] = template.spec.volumes.at(-1).secret.items;
    expect(items.map(({ path }) => path).sort()).toEqual(Object.values(files).sort());

    const actor = find(all, "Deployment", "actors").spec.template.spec.containers[0].args;
    expect(actor).toContain("--weights=walk-proxima-relay:7500");
    const labels = { "app.kubernetes.io/component": "relay" };
    const peers = (policy: string, side: "ingress" | "egress") =>
      find(all, "NetworkPolicy", policy).spec[side].flatMap(
        (rule: Record<string, { podSelector?: { matchLabels: Record<string, string> } }[] | undefined>) =>
          (rule.from ?? rule.to ?? []).map((peer) => peer.podSelector!.matchLabels["app.kubernetes.io/component"]),
      );
    expect(find(all, "Service", "relay").spec.selector).toMatchObject(labels);
    expect(peers("learner", "ingress")).toEqual(["relay"]);
    expect(peers("relay", "ingress")).toEqual(["actor"]);
    expect(peers("relay", "egress")).toEqual(["learner"]);
    expect(peers("actors", "egress")).toContain("relay");
    expect(peers("actors", "egress")).not.toContain("learner");
  });

  test("lets nobody reach actors, and only actors reach the learner", () => {
    const all = manifests();
    expect(find(all, "NetworkPolicy", "actors").spec).toMatchObject({
      policyTypes: ["Ingress", "Egress"],
      ingress: [],
    });
    const { ingress } = find(all, "NetworkPolicy", "learner").spec;
    expect(ingress).toHaveLength(1);
    expect(ingress[0].from[0].podSelector.matchLabels["app.kubernetes.io/component"]).toBe("actor");
  });
});

test.skipIf(!haveTools)("the Compose file is one, and demands the run's name", () => {
  // The specification's own program reads variables from .env alone.
  const project = join(folder, "compose");
  mkdirSync(project);
  cpSync(join(root, "deploy/docker/compose.yaml"), join(project, "compose.yaml"));
  expect(run(tool("compose"), ["compose.yaml"], { cwd: project }).err).toContain("name the run");
  const text = readFileSync(join(project, "compose.yaml"), "utf8").replaceAll(/\$\{RUN[^}]*\}/g, "walk");
  writeFileSync(join(project, "compose.yaml"), text);
  const { out, err, status } = run(tool("compose"), ["compose.yaml"], { cwd: project });
  expect(status, err).toBe(0);
  const { services } = Bun.YAML.parse(out) as { services: Record<string, { command: string[] }> };
  expect(Object.keys(services).sort()).toEqual(["actor", "learner", "nats"]);
  const [name, ...learner] = services.learner!.command;
  expect(name).toBe("walk");
  for (const [args, schema] of [
    [learner, runSchema],
    [services.actor!.command, actorSchema],
  ] as const) {
    for (const key of Object.keys(parseArguments(args, schema).settings))
      expect(Object.keys(schema.fields)).toContain(key);
  }
});

test.skipIf(!Bun.which("systemd-analyze"))("systemd understands the units", () => {
  const units = join(root, "deploy/systemd");
  // Unknown keys and values are warnings: there must be none but those about programs that are not installed here.
  const { err } = run("systemd-analyze", [
    "verify",
    "--man=no",
    ...readdirSync(units).map((name) => join(units, name)),
  ]);
  const complaints = err
    .split("\n")
    .filter((line) => line.includes("proxima") && !/not executable|No such file/.test(line));
  expect(complaints).toEqual([]);
});

describe("proxima-learner", () => {
  const script = join(root, "deploy/run-learner.sh");
  const work = join(folder, "work");
  mkdirSync(work);
  /** The arguments that `proxima` would be started with. */
  const started = (...args: string[]) => {
    const echo = join(folder, "echo-arguments");
    writeFileSync(echo, '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
    return spawnSync("/bin/sh", [script, ...args], {
      cwd: work,
      encoding: "utf8",
      env: { PROXIMA: echo, PATH: "/usr/bin:/bin" },
    });
  };

  test("starts a run, begins again where nothing was kept, and goes on from a checkpoint", () => {
    expect(started("walk", "--env", "cartpole").stdout).toBe("learner --run walk --env cartpole\n");
    const checkpoints = join(work, "runs/walk/checkpoints");
    mkdirSync(checkpoints, { recursive: true });
    expect(started("walk").stdout).toBe("learner --run walk\n");
    expect(existsSync(join(work, "runs/walk"))).toBe(false);
    mkdirSync(checkpoints, { recursive: true });
    writeFileSync(join(checkpoints, "3.safetensors"), "");
    expect(started("walk", "--env", "cartpole").stdout).toBe("learner --run walk --resume --env cartpole\n");
    expect(existsSync(checkpoints)).toBe(true);
  });

  test("demands a run, and refuses a name that is a path", () => {
    expect(started().status).toBe(2);
    expect(started("../work").status).toBe(2);
    expect(existsSync(work)).toBe(true);
  });
});
