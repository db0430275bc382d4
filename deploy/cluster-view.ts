/** A cluster as tables for a terminal. */
import type { Cluster, ClusterActor, ClusterNode, ClusterPlayer, ClusterRun } from "./cluster.ts";
import { duration, short } from "./quantities.ts";
import { left, right, shorten, table } from "./table.ts";

/** An actor that gave no sign of life for this long is said to be silent: it computes, or hangs. */
const SILENT_MS = 10_000;

/** @param rows the most rows of one table; what is left out is counted */
export function renderCluster({ nodes, actors, runs }: Cluster, rows = Number.POSITIVE_INFINITY): string[] {
  const used = nodes.reduce((sum, { cpusUsed }) => sum + cpusUsed, 0);
  const offered = nodes.reduce((sum, { cpus }) => sum + cpus, 0);
  const running = actors.filter(({ state }) => state === "running").length;
  return [
    `${count(nodes.length, "node")}, ${number(used)} of ${number(offered)} cpus taken · ${count(actors.length, "actor")}, ${running} running · ${count(runs.length, "run")}`,
    ...section(nodes.length > 0, () => nodesTable(nodes, rows)),
    ...section(actors.length > 0, () => actorsTable(actors, rows)),
    ...runs.flatMap((run) => ["", ...runLines(run, rows)]),
    ...hints({ nodes, actors, runs }),
  ];
}

function nodesTable(nodes: readonly ClusterNode[], rows: number): string[] {
  return limited(
    nodes,
    rows,
    [left("NODE"), right("CPUS"), right("MEMORY"), right("ACTORS"), right("HEARD"), left("LABELS")],
    (node) => [
      shorten(node.name, 40),
      `${number(node.cpusUsed)}/${number(node.cpus)}`,
      `${(node.memoryUsed / 1e9).toFixed(1)}/${(node.memory / 1e9).toFixed(1)} GB`,
      String(node.actors),
      duration(node.heardMs),
      [
        ...Object.entries(node.labels).map(([key, value]) => `${key}=${value}`),
        ...(node.draining ? ["(leaving)"] : []),
      ].join(" "),
    ],
  );
}

function actorsTable(actors: readonly ClusterActor[], rows: number): string[] {
  // What needs attention first.
  const order = ["failed", "restarting", "pending", "starting", "running"];
  const sorted = actors.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  return limited(
    sorted,
    rows,
    [
      left("ACTOR"),
      left("KIND"),
      left("NODE"),
      left("STATE"),
      right("RESTARTS"),
      right("MAILBOX"),
      right("CALLS"),
      left(""),
    ],
    (actor) => [
      shorten(actor.name, 40),
      shorten(actor.kind, 20),
      shorten(actor.node ?? "–", 40),
      actor.state,
      String(actor.restarts),
      actor.mailbox === undefined ? "" : String(actor.mailbox),
      actor.calls === undefined ? "" : short(actor.calls),
      remark(actor),
    ],
  );
}

function remark({ state, because, silentMs = 0 }: ClusterActor): string {
  if (state === "running") return silentMs > SILENT_MS ? `silent for ${duration(silentMs)}` : "";
  return because ? shorten(because, 80) : "";
}

function runLines(
  { run, learner, groupsQueued, groupsInFlight, episodesStored, players }: ClusterRun,
  rows: number,
): string[] {
  const state = learner
    ? `${learner.phase}, iteration ${learner.iteration}, ${short(learner.envSteps)} env steps, weights version ${learner.weights}`
    : "its learner does not answer";
  const lag = Math.max(0, ...players.map(({ lagVersions = 0 }) => lagVersions));
  return [
    `Run ${run}: ${state}`,
    `  groups ${groupsQueued} queued, ${groupsInFlight} in flight · ${short(episodesStored)} episodes stored · weights lag at most ${count(lag, "version")}`,
    ...limited(
      players,
      rows,
      [
        left("PLAYER"),
        left("HOST"),
        left("DOING"),
        right("GROUPS"),
        right("EPISODES"),
        right("ENV STEPS"),
        right("WEIGHTS"),
        right("LAG"),
      ],
      (player: ClusterPlayer) => [
        shorten(player.name, 40),
        shorten(player.host, 30),
        doing[player.doing] ?? shorten(player.doing, 20),
        String(player.groups),
        short(player.episodes),
        short(player.envSteps),
        player.weights < 0 ? "–" : String(player.weights),
        player.lagVersions === undefined ? "" : String(player.lagVersions),
      ],
    ),
  ];
}

/** The activities of a heartbeat, in words. */
const doing: Readonly<Record<string, string>> = {
  playing: "plays",
  tasks: "waits for tasks",
  weights: "waits for weights",
  step: "waits for a step",
  room: "waits for room",
};

function hints({ nodes, actors, runs }: Cluster): string[] {
  const waiting = count(actors.filter(({ state }) => state === "pending").length, "actor");
  if (nodes.length + actors.length + runs.length === 0) {
    return ["", "Nothing here yet: 'proxima node' offers this machine, 'proxima learner --actors 64' begins a run."];
  }
  if (waiting.startsWith("0 ")) return [];
  if (nodes.length === 0) return ["", `Waiting for a node: ${waiting}. Start one with 'proxima node'.`];
  return ["", `Waiting for a node with room and the labels they need: ${waiting}.`];
}

function limited<T>(
  items: readonly T[],
  rows: number,
  columns: Parameters<typeof table>[0],
  cells: (item: T) => string[],
) {
  if (items.length === 0) return [];
  const shown = items.slice(0, rows);
  const rest = items.length - shown.length;
  return [...table(columns, shown.map(cells)).split("\n"), ...(rest > 0 ? [`  … and ${rest} more`] : [])];
}

const section = (isThere: boolean, lines: () => string[]) => (isThere ? ["", ...lines()] : []);
const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;
const number = (value: number) => String(Math.round(value * 100) / 100);
