/**
 * Tells what a run waits for: when nothing has moved for a while by itself, and on demand (`proxima doctor`, LearnerService.Status).
 * One paragraph says who waits for whom, since when, what was heard last from each, and what to try.
 */
import type { Activity } from "../policy/heartbeat.ts";
import type { KnownActor, Queues } from "./fleet.ts";
import type { LearnerStatus } from "./learner.ts";

/** A run at one moment. Times are milliseconds since 1970. */
export interface Scene {
  nowMs: number;
  run: string;
  learner: LearnerStatus;
  /** host:port at which actors get weights. */
  weightsAddress: string;
  actors: readonly KnownActor[];
  queues?: Queues;
  brokerAway?: { sinceMs: number; reason: string };
}

export interface Diagnosis {
  /** Who waits for whom, since when, and what was heard last. */
  what: string;
  sinceMs: number;
  /** What to try. */
  advice: string;
}

const MEBIBYTE = 2 ** 20;
/** More actors are counted, not listed. */
const MAX_LISTED = 4;

export function diagnose(scene: Scene): Diagnosis {
  const { learner, nowMs } = scene;
  const sinceMs = nowMs - learner.sinceMs;
  const { what, advice } = explain(scene);
  const fruitless =
    learner.withoutSignal > 0
      ? ` The last ${count(learner.withoutSignal, "iteration")} trained nothing, as all members of each group ended alike: larger or more groups, easier tasks or a start from imitation help.`
      : "";
  return { what, sinceMs: learner.paused ? learner.paused.sinceMs : sinceMs, advice: advice + fruitless };
}

function explain(scene: Scene): { what: string; advice: string } {
  const { run, nowMs, learner, actors, brokerAway, queues } = scene;
  const present = actors.filter(({ gone }) => !gone);
  const lastWords = listed(actors, nowMs);
  if (brokerAway) {
    return {
      what: `The learner has not reached its broker for ${ago(nowMs - brokerAway.sinceMs)} (${brokerAway.reason}), and so neither sends tasks nor receives episodes.`,
      advice: "Start the broker again on its store: everything goes on from there, and nothing is lost.",
    };
  }
  if (learner.paused) {
    return {
      what: `The learner has been paused for ${ago(nowMs - learner.paused.sinceMs)} ("${learner.paused.reason}"): ${count(present.length, "actor")} without new tasks. ${lastWords}`,
      advice: `Let it go on with 'proxima resume --run ${run}'.`,
    };
  }
  if (learner.section !== "wait") {
    return {
      what: `The learner has been at '${learner.section}' of iteration ${learner.iteration} for ${ago(learner.sinceMs)}; nobody else is waited for. ${lastWords}`,
      advice: adviceForSection(learner.section),
    };
  }
  const missing = `Iteration ${learner.iteration} has waited ${ago(learner.sinceMs)} for ${count(learner.episodesInFlight, "episode")}, with ${learner.groupsReady} of ${learner.groupsWanted} groups there.`;
  const heard = [lastArrival(learner, nowMs), queues && queueWords(queues), lastWords].filter(Boolean).join(" ");
  return { what: `${missing} ${heard}`, advice: adviceForWaiting(scene, present) };
}

function adviceForSection(section: string): string {
  if (section === "issue") return "Is the broker slow, or its task stream full? 'nats stream report' tells.";
  if (section === "commit") return "A checkpoint is being written: is the disk full or slow?";
  if (section === "update" || section === "advantages")
    return "It computes: smaller iterations, fewer epochs or more learnerThreads shorten it.";
  return "If it stays there, its log and the machine's load tell more.";
}

function adviceForWaiting({ run, weightsAddress, queues, learner }: Scene, present: readonly KnownActor[]): string {
  if (!present.length) return `No actor is there: start some with 'proxima actor --run ${run}' on the same broker.`;
  const at = (activity: Activity) => present.filter(({ beat }) => beat.doing === activity).length;
  if (at("room")) {
    return `Finished episodes do not fit into the trajectory stream (${mebibytes(queues?.trajectoryBytes ?? 0)} MiB): its messages go only with the checkpoint of their iteration, so ask for fewer groupsPerIteration or a smaller checkpointEvery, or give the broker more room.`;
  }
  if (at("weights") === present.length) {
    return `No actor has the weights it needs. They come from ${weightsAddress}: can their machines reach that address? Set weightsHost and weightsPort on the learner, or --weights host:port on the actors.`;
  }
  if (at("step")) {
    return "An environment does not come back from a step or reset. After stepTimeoutMs its episode ends without result and is played again; a lower stepTimeoutMs on the actors gives up sooner.";
  }
  if (learner.lastNoResult && learner.lastNoResult.atMs >= (learner.lastArrival?.atMs ?? 0)) {
    return `Episodes come back without result: look after the environment ("${learner.lastNoResult.reason}").`;
  }
  if (queues && queues.tasksQueued > 0 && at("tasks") === present.length) {
    return `Tasks lie in the queue, yet every actor waits for one: do they play for run ${run} on this broker? Their logs say what they do with tasks.`;
  }
  return "The actors play. If a few slow episodes hold up all others, completionRatio lets iterations go on without them; overSample asks for spare groups; more actors shorten a long queue.";
}

function lastArrival({ lastArrival: trajectory, lastNoResult: failure }: LearnerStatus, nowMs: number): string {
  const came = trajectory
    ? `The last trajectory came ${ago(nowMs - trajectory.atMs)} ago from ${trajectory.actor}.`
    : "No trajectory has come yet.";
  if (!failure || failure.atMs < (trajectory?.atMs ?? 0)) return came;
  return `${came} Since then an episode of ${failure.actor} gave no result: ${failure.reason}.`;
}

function queueWords({ tasksQueued, tasksTaken }: Queues): string {
  return `${count(tasksQueued, "task")} in the queue, ${tasksTaken} taken.`;
}

function listed(actors: readonly KnownActor[], nowMs: number): string {
  if (!actors.length) return "No actor has been heard of.";
  // Those that wait longest, then those that are gone.
  const order = [...actors].sort((a, b) => Number(a.gone) - Number(b.gone) || b.beat.forMs - a.beat.forMs);
  const words = order.slice(0, MAX_LISTED).map((actor) => wordsOf(actor, nowMs));
  const rest = actors.length - words.length;
  return `Actors: ${words.join("; ")}${rest > 0 ? `; and ${rest} more` : ""}.`;
}

const activities: Record<Activity, string> = {
  playing: "plays",
  tasks: "waits for tasks",
  weights: "waits for weights",
  step: "waits for an environment's step",
  room: "waits for room in the trajectory stream",
};

function wordsOf({ beat, heardAtMs, gone }: KnownActor, nowMs: number): string {
  const silent = ago(nowMs - heardAtMs);
  const doing = activities[beat.doing] ?? beat.doing;
  if (gone) return `${beat.actor} is gone (last heard ${silent} ago: ${doing})`;
  const duration = beat.forMs >= 1000 ? ` for ${ago(beat.forMs)}` : "";
  return `${beat.actor} ${doing}${duration} (heard ${silent} ago, weights ${beat.weights < 0 ? "none" : beat.weights})`;
}

const count = (n: number, noun: string) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const mebibytes = (bytes: number) => (bytes / MEBIBYTE).toFixed(1);

function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

export interface WatchdogOptions {
  /** Nothing moving for this long is reported; then again after twice as long, and so on. */
  stallTimeoutMs: number;
  /** Milliseconds since 1970 at which something moved last. */
  movedAtMs(): number;
  diagnose(): Diagnosis;
  onNotice(message: string): void;
  /** Episodes are waited for, but there has been no task to play for this long. */
  tasksLostForMs(): number;
  /** Asks for them once more. */
  askAgain(): Promise<void>;
}

/** Longer than any message is under way between broker and learner. */
const LOST_TASKS_MS = 3000;

/** Looks until the signal aborts. */
export function watchdog(options: WatchdogOptions, signal: AbortSignal): void {
  const { stallTimeoutMs, movedAtMs, diagnose, onNotice, tasksLostForMs, askAgain } = options;
  let nextMs = stallTimeoutMs;
  let askedAtMs = 0;
  const look = () => {
    const stillMs = Date.now() - movedAtMs();
    if (Math.min(stillMs, tasksLostForMs(), Date.now() - askedAtMs) > LOST_TASKS_MS) {
      askedAtMs = Date.now();
      onNotice("Episodes are waited for, yet the queue holds no task: asks for them once more.");
      askAgain().catch((error: Error) => onNotice(`Could not ask for episodes once more: ${error.message}`));
    }
    if (stillMs < stallTimeoutMs) {
      nextMs = stallTimeoutMs;
    } else if (stillMs >= nextMs) {
      const { what, advice } = diagnose();
      onNotice(`${what} ${advice}`);
      nextMs = 2 * stillMs;
    }
  };
  const timer = setInterval(look, Math.min(1000, stallTimeoutMs / 2));
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}
