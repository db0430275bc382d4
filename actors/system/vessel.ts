/** What an actor lives in, as its node sees it: a process, or a thread. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";
import { type FromActor, MESSAGE_MARK, type ToActor } from "./host.ts";

export interface Vessel {
  readonly pid?: number;
  send(message: ToActor): void;
  /** At once. */
  kill(): void;
  /** Resolves with how it ended; `isOrderly` when the actor ended itself. */
  readonly ended: Promise<{ how: string; isOrderly: boolean }>;
}

export interface VesselEvents {
  onMessage(message: FromActor): void;
  /** Something that the actor printed. */
  onLine(line: string): void;
}

const MAX_LINE = 4_000;

/** Messages go to its standard input and come from its output. Its input ends when this process does, and then so does it. */
export function processVessel(command: { file: string; args: readonly string[] }, events: VesselEvents): Vessel {
  const child = spawn(command.file, command.args, { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {}); // it has ended, which is heard of below
  const onLine = (line: string) => {
    if (line.startsWith(MESSAGE_MARK)) events.onMessage(JSON.parse(line.slice(1)));
    else if (line !== "") events.onLine(line.slice(0, MAX_LINE));
  };
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", onLine);
  const ended = new Promise<{ how: string; isOrderly: boolean }>((resolve) => {
    child.once("error", (error) => resolve({ how: `cannot be started: ${error.message}`, isOrderly: false }));
    child.once("close", (code, signal) =>
      resolve({ how: signal ? `was ended by ${signal}` : `ended with code ${code}`, isOrderly: code === 0 }),
    );
  });
  return {
    pid: child.pid,
    send: (message) => child.stdin.write(`${JSON.stringify(message)}\n`),
    kill: () => {
      child.stdin.destroy(); // ends a runtime behind a launcher, which a signal would not reach
      child.kill("SIGKILL");
    },
    ended,
  };
}

/** @param file a module that calls `hostActor` with its thread's port */
export function threadVessel(file: string | URL, events: VesselEvents): Vessel {
  const worker = new Worker(file);
  worker.on("message", (message: FromActor) => events.onMessage(message));
  const ended = new Promise<{ how: string; isOrderly: boolean }>((resolve) => {
    worker.once("error", (error: unknown) => {
      events.onLine(String((error as Error)?.stack ?? error).slice(0, MAX_LINE));
      resolve({ how: `crashed: ${(error as Error)?.message ?? error}`, isOrderly: false });
    });
    worker.once("exit", (code) => resolve({ how: `ended with code ${code}`, isOrderly: code === 0 }));
  });
  return {
    send: (message) => worker.postMessage(message),
    kill: () => void worker.terminate(),
    ended,
  };
}
