/**
 * The walk through of docs/deployment.md on three machines, which here are network namespaces: each has an address, a loopback and a
 * folder of its own, and they share nothing else than a switch.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testingProgram } from "./testing-broker.ts";
import { type ProcessEvent, TestingProcess } from "./testing-process.ts";

setDefaultTimeout(180_000);

const names = ["broker", "learner", "actor"] as const;
type Machine = (typeof names)[number];
const prefix = `px${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), "proxima-machines-"));
const started: TestingProcess[] = [];
let broker: ChildProcess | undefined;
let brokerEnded: Promise<unknown> | undefined;

const namespace = (machine: Machine | "lan") => `${prefix}-${machine}`;
const home = (machine: Machine) => join(folder, machine);
const addresses: Record<Machine, string> = { broker: "10.77.0.1", learner: "10.77.0.2", actor: "10.77.0.3" };
const inside = (machine: Machine | "lan") => ["ip", "netns", "exec", namespace(machine)];

function ip(...args: string[]): boolean {
  return spawnSync("ip", args, { stdio: "ignore" }).status === 0;
}
const link = (machine: Machine, state: "up" | "down") =>
  ip("-n", namespace("lan"), "link", "set", `p-${machine}`, state);

/** Three namespaces on a bridge in a fourth. False where this machine does not permit it. */
function plugTogether(): boolean {
  const lan = namespace("lan");
  if (!ip("netns", "add", lan) || !ip("-n", lan, "link", "add", "switch", "type", "bridge")) return false;
  ip("-n", lan, "link", "set", "switch", "up");
  return names.every((machine) => {
    const there = namespace(machine);
    mkdirSync(home(machine));
    return (
      ip("netns", "add", there) &&
      ip("-n", lan, "link", "add", `p-${machine}`, "type", "veth", "peer", "name", "eth0", "netns", there) &&
      ip("-n", lan, "link", "set", `p-${machine}`, "master", "switch", "up") &&
      ip("-n", there, "address", "add", `${addresses[machine]}/24`, "dev", "eth0") &&
      ip("-n", there, "link", "set", "lo", "up") &&
      ip("-n", there, "link", "set", "eth0", "up")
    );
  });
}

const program = await testingProgram();
const ready = program !== undefined && process.platform === "linux" && plugTogether();
if (program && !ready)
  console.warn("Skipping the walk through on three machines: it needs Linux, root and network namespaces.");
afterAll(async () => {
  await Promise.all(started.map((child) => child.kill()));
  broker?.kill("SIGKILL");
  await brokerEnded;
  for (const machine of [...names, "lan"] as const) ip("netns", "delete", namespace(machine));
  rmSync(folder, { recursive: true, force: true });
});

function proxima(machine: Machine, ...args: string[]): TestingProcess {
  const child = new TestingProcess(args, home(machine), undefined, inside(machine));
  started.push(child);
  return child;
}

const nats = `nats://${addresses.broker}:4222`;
const run = "walk";
const secure = ["--secrets", "secrets"];
const actor = (...more: string[]) => proxima("actor", "actor", "--nats", nats, "--run", run, ...more);
const learner = (...more: string[]) => proxima("learner", "learner", "--nats", nats, "--run", run, ...weights, ...more);
const weights = ["--weightsHost", addresses.learner, "--weightsPort", "7400"];
const iteration = (n: number) => (event: ProcessEvent) =>
  event.type === "iteration" && (event.iteration as number) >= n;

describe.skipIf(!ready)("three machines", () => {
  beforeAll(async () => {
    const hosts = `${addresses.broker},${addresses.learner}`;
    const init = proxima("broker", "secure", "init", "--runs", run, "--hosts", hosts);
    expect(await init.exited, JSON.stringify(init.events)).toBe(0);
    // A relay is beside the learner.
    const given = { learner: ["learner", "relay"], actor: ["node"] } as const;
    for (const machine of ["learner", "actor"] as const) {
      for (const role of given[machine]) {
        cpSync(join(home("broker"), "secrets", role), join(home(machine), "secrets", role), { recursive: true });
      }
    }
    const [command, ...rest] = [...inside("broker"), program!, "-c", "secrets/nats.conf"];
    broker = spawn(command!, rest, { cwd: home("broker"), stdio: ["ignore", "ignore", "pipe"] });
    brokerEnded = once(broker, "exit");
    let said = "";
    await new Promise<void>((resolve, reject) => {
      broker!.stderr!.on("data", (text) => {
        said += text;
        if (said.includes("Server is ready")) resolve();
      });
      broker!.on("exit", () => reject(new Error(`the broker ended: ${said}`)));
    });
  });

  test("let nobody in without secrets", async () => {
    const strangers = [learner("--env", "cartpole"), actor("--joinTimeoutMs", "5000")];
    for (const stranger of strangers) {
      expect(await stranger.exited).not.toBe(0);
      expect(JSON.stringify(stranger.events.at(-1))).toContain("refused this connection");
    }
    rmSync(join(home("learner"), "runs"), { recursive: true, force: true });
  });

  test("train together, and go on when a cable is pulled and when the learner is killed", async () => {
    const settings = ["--env", "cartpole", "--iterations", "12", "--groupsPerIteration", "16", "--policy.hidden", "16"];
    const first = learner(...secure, ...settings);
    actor(...secure);
    await first.until(iteration(2));
    const [upstream, relayed] = [`${addresses.learner}:7400`, `${addresses.learner}:7401`];
    const relayAt = ["--upstream", upstream, "--host", addresses.learner, "--port", "7401"];
    const relay = proxima("learner", "relay", "--run", run, ...relayAt, ...secure);
    link("actor", "down");
    actor(...secure, "--name", "while-away", "--weights", relayed); // waits for the network, like the first
    link("actor", "up");
    await first.until(iteration(5));
    await first.kill();
    const again = learner(...secure, "--resume");
    const end = await again.until(({ type }) => type === "end");
    expect(end.balance).toMatchObject({ dropped: 0, inFlight: 0, balanced: true });
    expect(relay.events.some(({ type, subscribers }) => type === "weights" && subscribers === 1)).toBe(true);
    expect((end.counters as { iteration: number }).iteration).toBe(12);
  });
});
