/** What a rollout actor must be told. Everything about the run itself it learns from the run's state on the bus. */
import { type ConfigOf, defineConfig } from "../proto/config.ts";

export const actorSchema = defineConfig({
  title: "actor",
  fields: {
    run: {
      section: "actor",
      type: "text",
      default: "",
      pattern: /^([A-Za-z0-9_-]{1,64})?$/,
      expects: "at most 64 letters, digits, - or _",
      about: "Run to play for; the only one on the bus when empty.",
    },
    name: {
      section: "actor",
      type: "text",
      default: "",
      pattern: /^([A-Za-z0-9_-]{1,64})?$/,
      expects: "at most 64 letters, digits, - or _",
      about: "Name in the run's directory and in every trajectory; host name and process id when empty.",
    },
    slots: {
      section: "actor",
      type: "integer",
      default: 32,
      min: 1,
      max: 65_536,
      unit: "episodes",
      about: "Episodes played side by side, sharing one batch of inference; a group is taken while one is free.",
    },
    provider: {
      section: "actor",
      type: "choice",
      default: "simd",
      choices: ["simd", "typescript"],
      about: "Who computes tensors: WebAssembly SIMD, or plain TypeScript (slow and literal).",
    },
    nats: {
      section: "connection",
      type: "text",
      default: "nats://127.0.0.1:4222",
      pattern: /^(nats|tls|ws|wss):\/\/[^@]+$/,
      expects: "a URL such as nats://host:4222 without user or password (those belong in a credentials file)",
      about: "The broker.",
    },
    natsCredentials: {
      section: "connection",
      type: "text",
      default: "",
      about: "Path of a NATS credentials file.",
    },
    secrets: {
      section: "connection",
      type: "text",
      default: "",
      about: "Folder made by `proxima secure init`, which has all that is needed here; PROXIMA_SECRETS when empty.",
    },
    weights: {
      section: "connection",
      type: "text",
      default: "",
      pattern: /^([^\s/]+:\d{1,5})?$/,
      expects: "host:port",
      about: "Where weights are had (a relay, say); the learner's own address when empty.",
    },
    joinTimeoutMs: {
      section: "deadlines",
      type: "integer",
      default: 60_000,
      min: 1_000,
      unit: "ms",
      about: "Give up when there is no run, or no weights, for this long.",
    },
    stepTimeoutMs: {
      section: "deadlines",
      type: "integer",
      default: 30_000,
      min: 10,
      unit: "ms",
      about: "An environment that takes longer for one step loses the episode (noResult).",
    },
    publishTimeoutMs: {
      section: "deadlines",
      type: "integer",
      default: 120_000,
      min: 1_000,
      unit: "ms",
      about: "How long a finished episode waits for a slow learner before the actor gives up.",
    },
    drainTimeoutMs: {
      section: "deadlines",
      type: "integer",
      default: 20_000,
      min: 0,
      unit: "ms",
      about: "When asked to stop: how long episodes under way may still take; unfinished groups go back to the queue.",
    },
  },
});

export type ActorConfig = ConfigOf<typeof actorSchema>;
