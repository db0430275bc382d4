/** Every command of `proxima`, in the order in which people meet them. Each is loaded only when it runs. */
import type { Command } from "./command.ts";

interface CommandEntry {
  /** One line for `proxima help`. */
  summary: string;
  load(): Promise<{ command: Command }>;
}

export const commands: Readonly<Record<string, CommandEntry>> = {
  dev: {
    summary: "train on this machine: broker, learner and actors in one command",
    load: () => import("./commands/dev.ts"),
  },
  eval: {
    summary: "play a run's policy on the eval tasks and say how well it does",
    load: () => import("./commands/eval.ts"),
  },
  export: {
    summary: "write a run's weights for other programs: safetensors, adapters, a Hugging Face folder",
    load: () => import("./commands/export.ts"),
  },
  ui: {
    summary: "show runs in a browser: progress, time, actors, the ledger and the credit of each step",
    load: () => import("./commands/ui.ts"),
  },
  report: {
    summary: "write one HTML file about a run, or several side by side",
    load: () => import("./commands/report.ts"),
  },
  replay: {
    summary: "show who got how much credit in an iteration, and why",
    load: () => import("./commands/replay.ts"),
  },
  imitate: {
    summary: "train a policy on demonstrations first, or on the successes of another run",
    load: () => import("./commands/imitate.ts"),
  },
  learner: {
    summary: "train a run whose actors are elsewhere",
    load: () => import("./commands/learner.ts"),
  },
  pause: {
    summary: "let a run rest after the iteration under way",
    load: async () => ({ command: (await import("./commands/control.ts")).pause }),
  },
  resume: {
    summary: "let a paused run go on",
    load: async () => ({ command: (await import("./commands/control.ts")).resume }),
  },
  checkpoint: {
    summary: "have a run write a checkpoint now",
    load: async () => ({ command: (await import("./commands/control.ts")).checkpoint }),
  },
  actor: {
    summary: "play episodes for a run",
    load: () => import("./commands/actor.ts"),
  },
  doctor: {
    summary: "look at this machine, or at a run: what is wrong, who waits for whom, what to try",
    load: () => import("./commands/doctor.ts"),
  },
  gpu: {
    summary: "get what training on a GPU needs: packages, and an addon for the TensorFlow that is here",
    load: () => import("./commands/gpu.ts"),
  },
  relay: {
    summary: "serve a run's weights on, so that many actors do not all ask the learner",
    load: () => import("./commands/relay.ts"),
  },
  secure: {
    summary: "make and renew the certificates, keys and permissions of a cluster",
    load: () => import("./commands/secure.ts"),
  },
  node: {
    summary: "offer this machine to actors, and run those that fit",
    load: () => import("./commands/node.ts"),
  },
  top: {
    summary: "watch nodes, actors and runs",
    load: () => import("./commands/top.ts"),
  },
  env: {
    summary: "list environments, check one of your own, or serve one to other processes",
    load: () => import("./commands/env.ts"),
  },
  data: {
    summary: "fetch the data sets that environments play, or list what is here",
    load: () => import("./commands/data.ts"),
  },
};
