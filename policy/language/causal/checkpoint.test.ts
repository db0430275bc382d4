import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromF16, toFloat32 } from "../../tensor/floats.ts";
import { encodeSafetensors, initialise } from "../../tensor/index.ts";
import { readCheckpoint, weightsOf, writeCheckpoint } from "./checkpoint.ts";
import { CheckpointError, smallConfig } from "./config.ts";
import { causalLayout } from "./model.ts";

const root = mkdtempSync(join(tmpdir(), "proxima-checkpoint-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const CONFIG = smallConfig({ vocabulary: 20, hidden: 8, layers: 2, heads: 2, contextLimit: 64 });
const LAYOUT = causalLayout(CONFIG);
const WEIGHTS = initialise(LAYOUT, 1);

/** A folder with the small model in it. */
function folder(): string {
  const path = mkdtempSync(join(root, "model-"));
  writeCheckpoint(path, CONFIG, WEIGHTS, [2]);
  return path;
}

function edit(path: string, file: string, change: (json: Record<string, unknown>) => unknown): void {
  const json = JSON.parse(readFileSync(join(path, file), "utf8")) as Record<string, unknown>;
  writeFileSync(join(path, file), JSON.stringify(change(json)));
}

/** The same weights as two files and an index. */
function shard(path: string): void {
  const half = Math.floor(LAYOUT.length / 2);
  const weight_map: Record<string, string> = {};
  let at = 0;
  for (const [file, layout] of [
    ["a.safetensors", LAYOUT.slice(0, half)],
    ["b.safetensors", LAYOUT.slice(half)],
  ] as const) {
    const size = layout.reduce((sum, { shape }) => sum + shape.reduce((x, y) => x * y, 1), 0);
    writeFileSync(join(path, file), encodeSafetensors(layout, WEIGHTS.subarray(at, at + size)));
    for (const { name } of layout) weight_map[name] = file;
    at += size;
  }
  rmSync(join(path, "model.safetensors"));
  writeFileSync(join(path, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
}

test("a model that was written is read with the same weights, in one file or in shards, mapped or not", () => {
  const path = folder();
  const one = readCheckpoint(path);
  expect(one.config).toEqual(CONFIG);
  expect(one.generation.stopTokens).toEqual([2]);
  expect(weightsOf(one)).toEqual(WEIGHTS);
  shard(path);
  const many = readCheckpoint(path);
  expect(weightsOf(many)).toEqual(WEIGHTS);
  expect(many.hash()).toBe(one.hash());
  const read = readCheckpoint(path, (file) => {
    const bytes = new Uint8Array(readFileSync(file));
    return { size: bytes.length, slice: (from, to) => bytes.slice(from, to) };
  });
  expect(read.hash()).toBe(one.hash());
});

test("another weight is another hash, and so is another configuration", () => {
  const [path, other, third] = [folder(), folder(), folder()];
  writeCheckpoint(
    other,
    CONFIG,
    WEIGHTS.map((x, i) => (i === 100 ? x + 1e-3 : x)),
  );
  edit(third, "config.json", (json) => ({ ...json, rope_theta: 500_000 }));
  const hashes = [path, other, third].map((each) => readCheckpoint(each).hash());
  expect(new Set(hashes).size).toBe(3);
});

const REFUSALS: [what: string, damage: (path: string) => void, message: string][] = [
  ["a folder without a model", (path) => rmSync(join(path, "config.json")), "it has no config.json"],
  [
    "an unknown architecture",
    (path) => edit(path, "config.json", (json) => ({ ...json, architectures: ["MambaForCausalLM"] })),
    'the architecture "MambaForCausalLM": those supported are LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM',
  ],
  [
    "an unknown type of model",
    (path) => edit(path, "config.json", ({ architectures: _, ...json }) => ({ ...json, model_type: "gpt2" })),
    'the architecture "gpt2"',
  ],
  [
    "an unknown scaling of positions",
    (path) => edit(path, "config.json", (json) => ({ ...json, rope_scaling: { rope_type: "longrope", factor: 2 } })),
    'the RoPE scaling "longrope" is not supported, these are: default, linear, dynamic, yarn, llama3',
  ],
  [
    "another activation",
    (path) => edit(path, "config.json", (json) => ({ ...json, hidden_act: "gelu" })),
    'expected hidden_act "silu", found "gelu"',
  ],
  [
    "a size that is no number",
    (path) => edit(path, "config.json", (json) => ({ ...json, hidden_size: "8" })),
    'expected hidden_size to be an integer from 1 to 16777216, found "8"',
  ],
  [
    "more layers than any model has",
    (path) => edit(path, "config.json", (json) => ({ ...json, num_hidden_layers: 1e9 })),
    "expected num_hidden_layers to be an integer from 1 to 4096, found 1000000000",
  ],
  [
    "heads that do not share evenly",
    (path) => edit(path, "config.json", (json) => ({ ...json, num_attention_heads: 3, num_key_value_heads: 2 })),
    "Cannot use 3 attention heads with 2 key heads",
  ],
  ["a configuration that is not JSON", (path) => writeFileSync(join(path, "config.json"), "{"), "it is not JSON"],
  [
    "weights in another format",
    (path) => renameSync(join(path, "model.safetensors"), join(path, "pytorch_model.bin")),
    "expected model.safetensors or model.safetensors.index.json (weights in pickled .bin files are not read",
  ],
  [
    "a missing shard",
    (path) => {
      shard(path);
      rmSync(join(path, "b.safetensors"));
    },
    "the shard b.safetensors is missing, one of 2",
  ],
  [
    "an index that leads out of the folder",
    (path) => {
      shard(path);
      edit(path, "model.safetensors.index.json", () => ({ weight_map: { a: "../secret.safetensors" } }));
    },
    "expected weight_map to name a file of the folder",
  ],
  [
    "missing tensors",
    (path) => {
      const layout = LAYOUT.filter(({ name }) => !name.endsWith("q_proj.bias"));
      const size = layout.reduce((sum, { shape }) => sum + shape.reduce((x, y) => x * y, 1), 0);
      writeFileSync(join(path, "model.safetensors"), encodeSafetensors(layout, new Float32Array(size)));
    },
    "2 of 26 tensors are missing, such as model.layers.0.self_attn.q_proj.bias",
  ],
  [
    "tensors of another shape than the configuration's",
    (path) => edit(path, "config.json", (json) => ({ ...json, intermediate_size: 64 })),
    "config.json makes model.layers.0.mlp.gate_proj.weight [64, 8], the file has [32, 8]",
  ],
  [
    "a dtype that is no float",
    (path) => {
      const file = join(path, "model.safetensors");
      const text = readFileSync(file, "latin1").replace('"F32"', '"I32"');
      writeFileSync(file, text, "latin1");
    },
    'has dtype "I32", expected F32, F16 or BF16',
  ],
  [
    "a file that was cut off",
    (path) => {
      const file = join(path, "model.safetensors");
      writeFileSync(file, readFileSync(file).subarray(0, 5000));
    },
    "model.safetensors)",
  ],
];

for (const [what, damage, message] of REFUSALS) {
  test(`${what} is refused, and said why`, () => {
    const path = folder();
    damage(path);
    expect(() => readCheckpoint(path)).toThrow(CheckpointError);
    expect(() => readCheckpoint(path)).toThrow(message);
  });
}

test("a folder that does not exist is refused like an empty one", () => {
  expect(existsSync(join(root, "none"))).toBe(false);
  expect(() => readCheckpoint(join(root, "none"))).toThrow("it has no config.json");
  mkdirSync(join(root, "none"));
});

test("half floats become the numbers they are", () => {
  expect([0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x8000, 0x7c00].map(fromF16)).toEqual([
    1,
    -2,
    0.333251953125,
    65504,
    2 ** -24,
    -0,
    Infinity,
  ]);
  const target = new Float32Array(2);
  toFloat32(Uint8Array.of(99, 0x80, 0x3f, 0x20, 0xc1).subarray(1), "BF16", target); // not aligned
  expect([...target]).toEqual([1, -10]);
});
