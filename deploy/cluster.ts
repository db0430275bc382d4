/** What there is on a broker at one moment: nodes, actors, and the runs that somebody plays or learns. */
import { ActorSystem } from "../actors/system/index.ts";
import { decodeHeartbeat, goneAfterMs } from "../policy/heartbeat.ts";
import { decodeRunState, runStateKey } from "../policy/run-state.ts";
import type { Bus } from "../proto/bus/bus.ts";
import { LearnerService, Phase } from "../proto/gen/proxima/v1/learner_pb.ts";
import { connect, type Security } from "../proto/grpc.ts";
import { runsBucket, subjects as subjectsOf } from "../proto/subjects.ts";

export interface ClusterNode {
  name: string;
  host: string;
  cpus: number;
  cpusUsed: number;
  memory: number;
  memoryUsed: number;
  labels: Readonly<Record<string, string>>;
  draining: boolean;
  actors: number;
  /** Since its last heartbeat was sent, by this machine's clock. */
  heardMs: number;
}

export interface ClusterActor {
  name: string;
  kind: string;
  node?: string;
  state: string;
  /** Why it does not run. */
  because?: string;
  restarts: number;
  /** Calls waiting; absent until its node has told. */
  mailbox?: number;
  calls?: number;
  /** Since its last sign of life. */
  silentMs?: number;
}

/** A rollout actor, as it tells the run it plays for. */
export interface ClusterPlayer {
  name: string;
  host: string;
  /** What it is at, or waits for: see `Activity` in policy/heartbeat.ts. */
  doing: string;
  /** Groups in play. */
  groups: number;
  episodes: number;
  envSteps: number;
  /** Counter of the weights it holds; -1: none yet. */
  weights: number;
  /** Versions published since that one; absent while the learner does not answer. */
  lagVersions?: number;
}

export interface ClusterRun {
  run: string;
  /** Of the learner; absent while it does not answer. */
  learner?: { phase: string; iteration: number; envSteps: number; weights: number };
  /** Groups that wait for an actor. */
  groupsQueued: number;
  /** Groups with actors. */
  groupsInFlight: number;
  /** Episodes stored and not yet trained on. */
  episodesStored: number;
  players: ClusterPlayer[];
}

export interface Cluster {
  nodes: ClusterNode[];
  actors: ClusterActor[];
  runs: ClusterRun[];
}

/** Hosts tell the time differently: somewhat more than one would notice. */
const CLOCKS_DIFFER_MS = 5_000;

const phases = Object.entries(Phase);

export class ClusterObserver {
  readonly #bus: Bus;
  readonly #system: ActorSystem;
  readonly #patienceMs: number;
  readonly #security: Security | undefined;

  /**
   * @param patienceMs a learner that does not answer within this long counts as gone
   * @param security for calls to learners
   */
  constructor(bus: Bus, patienceMs: number, security?: Security) {
    this.#bus = bus;
    this.#patienceMs = patienceMs;
    this.#security = security;
    this.#system = new ActorSystem(bus);
  }

  /** Runs of the past, whose learner is gone and which nobody plays for, are left out. */
  async look(): Promise<Cluster> {
    const [nodes, actors, runs] = await Promise.all([this.#nodes(), this.#actors(), this.#runs()]);
    return { nodes, actors, runs };
  }

  close(): Promise<void> {
    return this.#system.close();
  }

  async #nodes(): Promise<ClusterNode[]> {
    return (await this.#system.nodes()).map(({ boot: _, pid: __, runtimes: ___, sentAtMs, actors, ...node }) => ({
      ...node,
      actors: Object.keys(actors).length,
      heardMs: Math.max(0, Date.now() - sentAtMs),
    }));
  }

  async #actors(): Promise<ClusterActor[]> {
    return (await this.#system.list()).map(({ name, kind, node, state, restarts, load }) => ({
      name,
      kind,
      node,
      state: state.type,
      because: "because" in state ? state.because : undefined,
      restarts,
      mailbox: load?.mailbox,
      calls: load?.calls,
      silentMs: load?.silentMs,
    }));
  }

  async #runs(): Promise<ClusterRun[]> {
    const names = await (await this.#bus.keyValue(runsBucket)).keys();
    const runs = await Promise.all(names.sort().map((name) => this.#run(name)));
    return runs.filter(({ learner, players }) => learner !== undefined || players.length > 0);
  }

  async #run(run: string): Promise<ClusterRun> {
    const subjects = subjectsOf(run);
    const [learner, players, tasks, trajectories] = await Promise.all([
      this.#learner(run).catch(() => undefined),
      this.#players(subjects.directoryBucket),
      this.#bus.streamState(subjects.taskStream),
      this.#bus.streamState(subjects.trajectoryStream),
    ]);
    for (const player of players) {
      if (learner && player.weights >= 0) player.lagVersions = Math.max(0, learner.weights - player.weights);
    }
    return {
      run,
      learner,
      groupsQueued: tasks.messages - tasks.pending,
      groupsInFlight: tasks.pending,
      episodesStored: trajectories.messages,
      players,
    };
  }

  async #learner(run: string): Promise<ClusterRun["learner"]> {
    const entry = await (await this.#bus.keyValue(subjectsOf(run).stateBucket)).get(runStateKey);
    if (!entry) return undefined;
    const { client, close } = connect(LearnerService, decodeRunState(entry.value).weights, this.#security);
    try {
      const status = await client.status({}, { timeoutMs: this.#patienceMs });
      if (status.run !== run) return undefined; // another learner has the address now
      return {
        phase: (phases.find(([, phase]) => phase === status.phase)?.[0] ?? "unknown").toLowerCase(),
        iteration: Number(status.iteration),
        envSteps: Number(status.envSteps),
        weights: Number(status.weightsCounter),
      };
    } finally {
      close();
    }
  }

  async #players(bucket: string): Promise<ClusterPlayer[]> {
    const directory = await this.#bus.keyValue(bucket);
    const entries = await Promise.all((await directory.keys()).sort().map((key) => directory.get(key)));
    return entries.flatMap((entry) => {
      const beat = entry && decodeHeartbeat(entry.value);
      if (!beat || Date.now() - beat.sentAtMs > goneAfterMs(beat) + CLOCKS_DIFFER_MS) return [];
      const { actor, host, doing, groups, episodes, envSteps, weights } = beat;
      const player: ClusterPlayer = { name: actor, host, doing, groups, episodes, envSteps, weights };
      return [player];
    });
  }
}
