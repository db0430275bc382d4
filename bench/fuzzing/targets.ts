/** Everything that turns bytes of others into values, with good inputs to start from and the errors that are its way to refuse. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { parse, TomlError } from "smol-toml";
import { decodeAnswer, decodeCall, encodeAnswer, encodeCall } from "../../actors/system/wire.ts";
import { loadGame, parseGameFile } from "../../envs/alfworld/game.ts";
import { LIGHTS } from "../../envs/alfworld/testing/lights.ts";
import { runSchema } from "../../learner/config.ts";
import { configJson } from "../../policy/language/causal/checkpoint.ts";
import { CheckpointError, causalLayout, readConfig, smallConfig } from "../../policy/language/causal/index.ts";
import { decodeRunState, encodeRunState } from "../../policy/run-state.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  SafetensorsError,
  weightsFromSafetensors,
} from "../../policy/tensor/safetensors.ts";
import { fromArguments, toArguments } from "../../proto/arguments.ts";
import {
  DecodeError,
  decodeGroupTask,
  decodeTrajectory,
  encodeGroupTask,
  encodeTrajectory,
} from "../../proto/codec.ts";
import { ConfigError, flattenTables, formatConfig, resolveConfig } from "../../proto/config.ts";
import { decodeData, encodeData } from "../../proto/data.ts";
import { SwapEnvironmentRequestSchema } from "../../proto/gen/proxima/v1/learner_pb.ts";
import { type Manifest, SubscribeResponseSchema } from "../../proto/gen/proxima/v1/weights_pb.ts";
import {
  languageTrajectory,
  randomTrajectory,
  textTrajectory,
  vectorTrajectory,
} from "../../proto/testing/trajectories.ts";
import { assemble, compressions, encodings, packWeights, WeightsRefusedError } from "../../proto/weights.ts";
import { unzstd } from "../../proto/zstd.ts";
import { bundleTargets } from "./bundle-targets.ts";
import { isDeliberate, type Target } from "./target.ts";

const text = (value: string) => new TextEncoder().encode(value);
const string = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Without compression too, so that injuries reach what is inside. */
const opened = (message: Uint8Array) =>
  message[0] === 0x11
    ? [message, new Uint8Array(Buffer.concat([Uint8Array.of(0x10), unzstd(message.subarray(1), 1 << 24)]))]
    : [message];

const trajectories = [
  textTrajectory(20),
  languageTrajectory(20),
  vectorTrajectory(20),
  ...Array.from({ length: 20 }, (_, seed) => randomTrajectory(seed)),
].flatMap((trajectory) => opened(encodeTrajectory(trajectory)));

const tasks = [[0, 1, 2], [5]].map((members) =>
  encodeGroupTask({
    run: "walk",
    incarnation: 1_790_000_000_000,
    iteration: 4,
    group: 17,
    task: "pick_and_place/trial-7",
    seed: 7,
    members,
    attempt: 0,
    environmentGeneration: 0,
    minWeights: 3,
    maxWeights: 4,
  }),
);

const layout = [{ name: "weight", shape: [16, 4], init: { type: "constant" as const, value: 0 } }];
const parameters = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));

const streams = (["f32", "bf16"] as const).flatMap((encoding) =>
  (["none", "zstd"] as const).map((compression) => {
    const packed = packWeights(parameters, encoding, compression);
    const manifest = create(SubscribeResponseSchema, {
      frame: {
        case: "manifest",
        value: {
          run: "walk",
          subscription: "s",
          version: { incarnation: "1", counter: 1n, sha256: packed.sha256 },
          encoding: encodings[encoding],
          compression: compressions[compression],
          parameterCount: BigInt(packed.parameterCount),
          wireBytes: BigInt(packed.wireBytes),
        },
      },
    });
    const bytes = new Uint8Array(toBinary(SubscribeResponseSchema, manifest));
    return { manifest: bytes, chunks: packed.frames.map((frame) => new Uint8Array(frame)) };
  }),
);

/** A decoder may make room for what a manifest announces, up to its limit. */
const MAX_PARAMETERS = 1 << 16;

function manifestOf(frame: Uint8Array): Manifest | undefined {
  const response = fromBinary(SubscribeResponseSchema, frame);
  return response.frame.case === "manifest" ? response.frame.value : undefined;
}

/** protobuf's own refusals are plain errors and RangeErrors. */
const refusesWeights = (error: unknown) => error instanceof WeightsRefusedError || isDeliberate(error);

const swap = create(SwapEnvironmentRequestSchema, {
  environmentId: "cartpole",
  bundleDigest: "a".repeat(64),
  arguments: toArguments({ gravity: 9.8, name: "x", flag: true }),
  canaryShare: 0.5,
});

const values = [
  null,
  [1, -2.5, 2 ** 40, Number.NaN, "ä word", true],
  { floats: Float32Array.of(1, 2.5), bytes: new Uint8Array(40), nested: [{ deep: [[["end"]]] }, {}] },
];
const calls = values.flatMap((value, i) => [
  encodeData(value, "a value"),
  encodeCall("counter", { id: `c-${i}`, method: "add", arguments: [value], timeoutMs: 30_000, tell: i === 0 }),
  encodeAnswer("counter.add()", { type: "done", value }),
]);

const runState = encodeRunState({
  run: "walk",
  incarnation: 1_790_000_000_000,
  seed: 0,
  policy: { name: "mlp", observation: { type: "discrete", n: 2 }, action: { type: "discrete", n: 2 }, options: {} },
  environment: { generation: 0, reference: "cartpole", arguments: {}, digest: "a".repeat(64) },
  weights: "127.0.0.1:7400",
  weightsEncoding: "f32",
} as Parameters<typeof encodeRunState>[0]);

const settings = { env: "cartpole", run: "walk", "env.gravity": 9.8, "credit.gamma": 0.95, mode: "async" };
const configuration = formatConfig(runSchema, resolveConfig(runSchema, [{ source: "settings", values: settings }]));

export const targets: readonly Target[] = [
  {
    name: "trajectory",
    seeds: trajectories,
    decode: decodeTrajectory,
    refuses: (error) => error instanceof DecodeError,
    weight: 30,
  },
  {
    name: "group task",
    seeds: tasks,
    decode: decodeGroupTask,
    refuses: (error) => error instanceof DecodeError,
    weight: 20,
  },
  {
    name: "manifest",
    seeds: streams.map(({ manifest }) => manifest),
    decode: (bytes) => {
      const manifest = manifestOf(bytes);
      return manifest && assemble(manifest, { maxParameters: MAX_PARAMETERS });
    },
    refuses: refusesWeights,
    weight: 12,
  },
  {
    name: "chunks",
    // The first byte says of which manifest.
    seeds: streams.flatMap(({ chunks }, i) =>
      chunks.map((chunk) => new Uint8Array(Buffer.concat([Uint8Array.of(i), chunk]))),
    ),
    decode: (bytes) => {
      const assembly = assemble(manifestOf(streams[(bytes[0] ?? 0) % streams.length]!.manifest)!, {
        maxParameters: MAX_PARAMETERS,
      });
      const response = fromBinary(SubscribeResponseSchema, bytes.subarray(1));
      if (response.frame.case === "chunk") assembly.push(response.frame.value);
      return assembly.finish();
    },
    refuses: refusesWeights,
    weight: 12,
  },
  {
    name: "request",
    seeds: [new Uint8Array(toBinary(SwapEnvironmentRequestSchema, swap))],
    decode: (bytes) => fromArguments(fromBinary(SwapEnvironmentRequestSchema, bytes).arguments),
    refuses: isDeliberate,
    weight: 10,
  },
  {
    name: "call data",
    seeds: calls,
    decode(bytes) {
      const value = decodeData(bytes, "a value");
      encodeData(value, "what was taken", Number.POSITIVE_INFINITY); // throws for anything but plain data
      for (const read of [decodeCall, (of: Uint8Array) => decodeAnswer(of, "a call")]) {
        try {
          read(bytes);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw new Error("An accident of a call or an answer", { cause: error });
        }
      }
    },
    refuses: (error) => error instanceof DecodeError,
    weight: 12,
  },
  {
    name: "run state",
    seeds: [runState],
    decode: decodeRunState,
    refuses: isDeliberate,
    weight: 6,
  },
  {
    name: "checkpoint",
    seeds: [new Uint8Array(encodeSafetensors(layout, parameters, { state: "{}", sha256: "0" }))],
    decode: (bytes) => weightsFromSafetensors(layout, decodeSafetensors(bytes)),
    refuses: (error) => error instanceof SafetensorsError,
    weight: 6,
  },
  {
    name: "configuration",
    seeds: [text(configuration)],
    decode: (bytes) =>
      resolveConfig(runSchema, [{ source: "file", values: flattenTables(runSchema, parse(string(bytes))) }]),
    refuses: (error) => error instanceof ConfigError || error instanceof TomlError,
    weight: 3,
  },
  {
    name: "model configuration",
    seeds: [
      text(JSON.stringify(configJson(smallConfig({ vocabulary: 9, hidden: 8, layers: 2, heads: 2, contextLimit: 8 })))),
    ],
    decode: (bytes) => causalLayout(readConfig(JSON.parse(string(bytes)))),
    refuses: (error) => error instanceof CheckpointError || error instanceof SyntaxError,
    weight: 3,
  },
  {
    name: "game file",
    // A small one: a household takes tens of milliseconds with nothing wrong.
    seeds: [text(JSON.stringify(LIGHTS))],
    decode: (bytes) => loadGame(parseGameFile(string(bytes))),
    refuses: isDeliberate,
    weight: 1,
    // A game is compiled: what is not refused at once is bounded by the work that goes into it.
    limitMs: 1_000,
  },
  ...bundleTargets,
];
