/**
 * A run on several hosts under faults: actors, nodes, hosts, broker and learner killed and frozen, links cut and slow, a full disk, corrupted and
 * repeated messages, environments that throw, hang and leak. Seeded and bounded in time; at the end every episode is accounted
 * for and the metrics are bit for bit those of an undisturbed run.
 *   bun bench/chaos.ts [--faults 1000] [--minutes 15] [--hosts 3] [--nodes 2] [--seed 1] [--json]
 */
import { parseArgs } from "node:util";
import { findBroker } from "../deploy/broker.ts";
import { left, right, table } from "../deploy/table.ts";
import { type ChaosReport, chaos } from "./chaos/run.ts";

const { values } = parseArgs({
  options: {
    faults: { type: "string", default: "1000" },
    minutes: { type: "string", default: "15" },
    hosts: { type: "string", default: "3" },
    nodes: { type: "string", default: "2" },
    seed: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
  },
});

function shown({ faults, episodes, memory, starts, broken, ...report }: ChaosReport): string {
  const injected = Object.values(faults).reduce((a, b) => a + b, 0);
  const dropped = Object.entries(episodes.dropped).map(([reason, n]) => `${n} ${reason}`);
  const kinds = Object.entries(faults).sort(([, a], [, b]) => b - a);
  const mebibytes = (value: number) => value.toFixed(0);
  return [
    table(
      [left("fault"), right("times")],
      kinds.map(([kind, n]) => [kind, String(n)]),
    ),
    table(
      [left("resident MiB"), right("first third"), right("last third"), right("max")],
      Object.entries(memory).map(([role, { first, last, max }]) => [role, ...[first, last, max].map(mebibytes)]),
    ),
    `${injected} faults in ${report.minutes.toFixed(1)} min on ${report.hosts} hosts${report.separateHosts ? " with networks of their own" : " on one loopback"}; ${report.iterations} iterations.`,
    `Started: learner ${starts.learner}, broker ${starts.broker}, actors ${starts.actors}, nodes ${starts.nodes} times (${starts.reapedForMemory} ended for their memory).`,
    `${episodes.started} episodes started = ${episodes.trained} trained + dropped (${dropped.join(", ") || "none"}) + ${episodes.inFlight} in flight.`,
    broken.length
      ? `BROKEN:\n${broken.join("\n")}`
      : "Accounts exact in every line; metrics bit for bit those of an undisturbed run: nothing lost, nothing trained twice.",
  ].join("\n\n");
}

const found = await findBroker();
if (found?.type !== "program") throw new Error("A nats-server is needed, and none can be had: see 'proxima doctor'.");
const report = await chaos({
  program: found.path,
  faults: Number(values.faults),
  minutes: Number(values.minutes),
  seed: Number(values.seed),
  actorHosts: Number(values.hosts),
  nodeHosts: Number(values.nodes),
  log: (line) => console.error(line),
});
console.log(values.json ? JSON.stringify(report) : shown(report));
process.exit(report.broken.length ? 1 : 0);
