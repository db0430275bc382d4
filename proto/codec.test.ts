import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { Packr } from "msgpackr/pack";
import {
  codecLimits,
  DecodeError,
  decodeGroupTask,
  decodeTrajectory,
  encodeGroupTask,
  encodeTrajectory,
} from "./codec.ts";
import {
  languageTrajectory,
  randomTrajectory,
  sampleLineage,
  seeded,
  textTrajectory,
  vectorTrajectory,
} from "./testing/trajectories.ts";
import type { GroupTask, Trajectory } from "./trajectory.ts";

setDefaultTimeout(30_000); // for machines that do much else at the same time

const task: GroupTask = {
  run: "sample-run",
  incarnation: 1_790_000_000_000,
  iteration: 4,
  group: 17,
  task: "pick_and_place/trial-7",
  seed: 4_294_967_295,
  members: [0, 1, 2, 5],
  attempt: 1,
  environmentGeneration: 2,
  minWeights: 4,
  maxWeights: 6,
};

// biome-ignore lint/suspicious/noExplicitAny: tests put wrong things in the right places
type Loose = any;

const packr = new Packr({ useRecords: true, moreTypes: true });
const maps = new Packr({ useRecords: false, moreTypes: true });
const PLAIN = 0x10;
const ZSTD = 0x11;
const DEFLATE = 0x12;
const message = (header: number, body: Uint8Array) => new Uint8Array(Buffer.concat([Uint8Array.of(header), body]));
/** What a sender without our checks could put on the wire. */
const forged = (value: unknown) => message(PLAIN, new Uint8Array(packr.pack(value)));

function refusal(bytes: Uint8Array, decode: (bytes: Uint8Array) => unknown = decodeTrajectory): DecodeError {
  try {
    decode(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    expect((error as Error).message.length).toBeLessThan(500);
    return error as DecodeError;
  }
  throw new Error("it decoded");
}

/** The field that is refused after one thing about a good trajectory was changed. */
function refusedField(change: (trajectory: Loose) => void, good: () => Trajectory = () => textTrajectory(5)) {
  const trajectory = structuredClone(good());
  change(trajectory);
  expect(() => encodeTrajectory(trajectory)).toThrow(TypeError);
  return refusal(forged(trajectory)).field;
}

describe("round trips", () => {
  test("a text episode, a vector episode and one of a language model come back equal", () => {
    for (const trajectory of [textTrajectory, vectorTrajectory, languageTrajectory].flatMap((make) => [
      make(),
      make(1),
    ])) {
      expect(decodeTrajectory(encodeTrajectory(trajectory))).toEqual(trajectory);
    }
  });

  test("a thousand random trajectories of every kind of column come back equal", () => {
    for (let seed = 0; seed < 1000; seed++) {
      const trajectory = randomTrajectory(seed);
      const decoded = decodeTrajectory(encodeTrajectory(trajectory));
      if (!Bun.deepEquals(decoded, trajectory, true)) expect({ seed, decoded }).toEqual({ seed, decoded: trajectory });
    }
  });

  test("an episode without a result needs no steps", () => {
    const trajectory: Trajectory = { lineage: sampleLineage(), outcome: { type: "noResult", reason: "node lost" } };
    expect(decodeTrajectory(encodeTrajectory(trajectory))).toEqual(trajectory);
  });

  test("a group task comes back equal, with an open upper bound too", () => {
    expect(decodeGroupTask(encodeGroupTask(task))).toEqual(task);
    const open = { ...task, maxWeights: Number.POSITIVE_INFINITY, task: "x".repeat(60_000) };
    expect(decodeGroupTask(encodeGroupTask(open))).toEqual(open);
  });

  test("decoded arrays are aligned and do not keep the message alive", () => {
    const bytes = encodeTrajectory(vectorTrajectory(20));
    const wide = new Uint8Array(bytes.length + 1);
    wide.set(bytes, 1);
    const { steps } = decodeTrajectory(wide.subarray(1));
    expect(steps!.rewards.byteOffset % 8).toBe(0);
    for (const values of [steps!.rewards, steps!.valid, steps!.logProbs]) {
      expect(values.buffer.byteLength).toBe(values.byteLength);
    }
    expect(steps!.valid.constructor).toBe(Uint8Array);
  });

  test("a Buffer, as Node's network code hands out, decodes like plain bytes", () => {
    const trajectory = vectorTrajectory(20);
    expect(decodeTrajectory(Buffer.from(encodeTrajectory(trajectory)))).toEqual(trajectory);
  });

  test("raw deflate and no compression are read as well as zstd", () => {
    const trajectory = textTrajectory(10);
    const packed = packr.pack(trajectory);
    for (const bytes of [
      message(PLAIN, packed),
      message(ZSTD, zlib.zstdCompressSync(packed)),
      message(DEFLATE, zlib.deflateRawSync(packed)),
    ]) {
      expect(decodeTrajectory(bytes)).toEqual(trajectory);
    }
    expect(encodeTrajectory(trajectory)[0]).toBe(ZSTD);
    expect(encodeGroupTask(task)[0]).toBe(PLAIN);
  });

  test("a writer in another language may send plain maps instead of records", () => {
    const trajectory = textTrajectory(5);
    expect(decodeTrajectory(message(PLAIN, maps.pack(trajectory)))).toEqual(trajectory);
  });

  test("strings whose halves are lone surrogates come back as replacement characters, in their places", () => {
    const trajectory = vectorTrajectory(2);
    trajectory.steps!.strings = ["a\ud83d", "b", "\ude00c", "🎯"];
    const { strings } = decodeTrajectory(encodeTrajectory(trajectory)).steps!;
    expect(strings).toEqual(["a\ufffd", "b", "\ufffdc", "🎯"]);
  });

  test("fields that this release does not know are dropped, not refused", () => {
    const trajectory = textTrajectory(5);
    const newer = structuredClone(trajectory) as Loose;
    newer.tokens = { logProbs: new Float32Array(3) };
    newer.lineage.policy = "base";
    newer.steps.values = [1, 2, 3];
    expect(decodeTrajectory(forged(newer))).toEqual(trajectory);
  });
});

describe("compatibility", () => {
  // A message of format version 1. If this fails, the format changed: raise the version instead.
  const sample =
    "ESi1L/1ggg5FNACWf8pF0BZtOghWM0jyPIQ/TyPCUewgLGYDhOaHVXjBAE6oorZf1nY/Mr397eaD7PIK4phDsA1qIiJC+s1AoRPxujzc2AJAZT8FxQC3ALUA35029J4wyF4WIhv+wN484ZpLMcgGwaIK3oxPpR0hbipEPw80O27TMmyGCYrp0lxH651yQNxUx+TRhqG9QC6rKxkts+YI9wAwZUxF4GeqVMTzgT10PtzUaSwRomSLCSd4cwbqzVCs8dVZg8YDxSFXMYBSxxtDQ5E0MQ/OIxFIbU7XZm+WcqWkai9YU2nPRyneocEz72SRRHOep0tBJEoyiaO9olK1YJ6XZhBIHa8PHh5uipKsl0d7wiLNuERFk1YwPOnM3FSaZmmtVdrMuGzLtExmWJZlWZV12IZhGYZhF2Z1hXXcpV3ZVS12yWqva1pXV1eXR87aLC3Lo4hZl2VV29asLPnV2bWko0wp5ppm5q2r1TprrK+2ulvOquXsRBUcZVs5KtpNGy1OJqvFqOgDb0iGQjrCl5wWDUVxykwrCJpeS9FIkpfazPvJaiuJKxXFOZJT0jxDUceAJniURZWGp3xD806OiJtCoSEIxBgkfZNnvBlXsOcDw1lTwgGZBUU90I48E6ZjOGtMJHL8x/Ef5//NSn5B3dCvgiUq4uSdnBE39X/EfxT/SfwXccAFxsWlBaaFQIEGCloasBhwUdCC4AXmv0vL/wX/E/xn8P/A/5eV/OST5JpWV3JWO7turntrrRvrvrqt2d3dVXOVVnVWddVX1VbVXXVVtay267qt0zKsuzqr667qOo7jOFktl3HcxVlccxW3ySnntm3VatuGbfParK230aZVq8m5aVqmyWqxBJB8dITBCoZ+1Dtmek0YU88b8UnHxE3l/+P/GhMtSDdkhNgk/Mfg4v+L7r+H//O/ivB/gP8rrv8XUv5ryCz89/6z+C/z/8R/Dv+5/w7+22z4n0L7L/oP4f+M/zD+V5hw/6v8j/G/w//64X+Jlbzjk+R/6D+I/xFwpjgUsqecEjdFR5OGnpxEPp/PJ6egZihcQHaAKpIEdaQIAhsQjGROZAJkFtT/z/8H/1NUAoG9qIGtRDIiIhJEQQqSpNABQQQIhIHYU+cBEsC1MNJ1yiapLPvfAT2EG1jEslut3WJGb454DsZg/Xl7Lk6oo/iyqrAuAOreHs9GfMG4GxM2o/pTZDEC2CGa4RU4C3c3NY522i/WTUx4r2+NI80x227/r/wvic4WwE5ePqNImN3tE73cLakgnSgZLIUDVXOY7eXFSRoNoXd8l6Z+zLV9cSODfV6Y40KvdfDJponj4PoqwMh6rk+OE//4QPhxtLATTNbDxJP9Jzv4y06xz/Cr3d73o/9GWY493eRf1VM7/nMuek2Q783JD37/8tGcJX29O5759uvusm+GpSH7hANay/qBLwc+qV2KrzoQjZguGsv4+wTMvdxrlyZMTEjtaqsVaGvEZHS3k3lk/aQjKHplOiG8s7dIdtmJeZvsVCW6Kk7KOybEiL83kXTBTJ7rpiDsO+/c2hJp+Q6AnUCSFh+NjBIY7mqia30qPiR7EHI74zAVAALx+ItjGvZQtwkCVgZYZdxyLQpkV0cBUXtYJhdMByMZRRPlaMOObO1xi6K/9dS7s0pI1kwwFbfVxBbuLIWMFvPmq1JdVAGed8cPaeZuvjOQGyP8zbDCq8JuxCYkCjGI1HkZaAkLICRe90WMoAJaiXKihGngVmjHOzWfDhoiMZKiLgO8lR0cj0fRjpfOPCZ9gu/tP4VLRS66ZPhu/4BiKwYPFKEssREfml5d2Q3mWCjYDD96Tz5wAyBFqnV1Gm171u0uHiwoC2ZACptIXGUDn0Npi84Jz4KKqQTNK8LJQzr6VfgFarmN4G7U24X5z/2e+2IIZ7ZIJgPVjrAe5JqwooohW6Ya+lDPwvT2rbZbqlNXJK3cVzGklEW9xiIluI1HGK13bniU/KhsdpGVBxltzMi/hI2eN6UTlWocE3HFJ657oAt12X4JuJdVrw0yCILJi+5HVplcbzy/sAQtCGdHqbBHhc+UHeCEREJkqrJfouLi+JrXn6K7qeZELiDiq8bdOFFt+GQlkZhhA/5VMRjzFtOLby37NPZWXASmiiXutCX5dXhKos42eJbQTkmCeigezg38VzgN/SEvKQgg/T7gVrhe6pX0JG5C0vBga+NsHWH42KSd+tlUIyM5ucwwfhrnB9BhAajj2je55agC";

  test("a stored message of this format version still decodes to the same episode", () => {
    expect(decodeTrajectory(new Uint8Array(Buffer.from(sample, "base64")))).toEqual(textTrajectory(3, 42));
  });
});

describe("other runtimes", () => {
  const script = join(import.meta.dir, "testing/encode-samples.ts");
  const expected = [textTrajectory(), ...Array.from({ length: 50 }, (_, seed) => randomTrajectory(seed))];
  const decodeAll = (command: string, args: string[]) => {
    const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 64 << 20 });
    expect(status, stderr).toBe(0);
    const lines = stdout.trim().split("\n");
    return lines.map((line) => decodeTrajectory(new Uint8Array(Buffer.from(line, "base64"))));
  };

  test("what Deno encodes is read here", () => {
    const deno = join(import.meta.dir, "../node_modules/.bin/deno");
    expect(decodeAll(deno, ["run", "--allow-all", "--no-lock", script])).toEqual(expected);
  });

  test("what Node encodes, with zstd or without, is read here", () => {
    const folder = mkdtempSync(join(tmpdir(), "proxima-codec-"));
    try {
      const bundle = join(folder, "samples.mjs");
      const built = spawnSync(process.execPath, ["build", "--target=node", `--outfile=${bundle}`, script]);
      expect(built.status, String(built.stderr)).toBe(0);
      expect(decodeAll("node", [bundle])).toEqual(expected);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("validation names the field", () => {
  test.each<[string, (t: Loose) => void]>([
    ["lineage", (t) => delete t.lineage],
    ["lineage", (t) => (t.lineage = [1, 2])],
    ["lineage.run", (t) => (t.lineage.run = "../../etc")],
    ["lineage.run", (t) => (t.lineage.run = "x".repeat(65))],
    ["lineage.iteration", (t) => (t.lineage.iteration = -1)],
    ["lineage.group", (t) => (t.lineage.group = 0.5)],
    ["lineage.member", (t) => (t.lineage.member = Number.NaN)],
    ["lineage.seed", (t) => (t.lineage.seed = 2 ** 32)],
    ["lineage.task", (t) => (t.lineage.task = 7)],
    ["lineage.environment.id", (t) => (t.lineage.environment.id = "")],
    ["lineage.weights.sha256", (t) => (t.lineage.weights.sha256 = "F".repeat(64))],
    ["lineage.weights.counter", (t) => (t.lineage.weights.counter = Number.POSITIVE_INFINITY)],
    ["steps", (t) => delete t.steps],
    ["steps", (t) => (t.outcome = { type: "noResult", reason: "lost" })],
    ["steps.count", (t) => (t.steps.count = 0)],
    ["steps.observations.index", (t) => (t.steps.count = 4)],
    ["steps.observations.type", (t) => (t.steps.observations.type = "image")],
    ["steps.observations.index[2]", (t) => (t.steps.observations.index[2] = t.steps.strings.length)],
    ["steps.strings", (t) => (t.steps.strings = "words")],
    ["steps.strings.text", (t) => (t.steps.strings = { lengths: new Uint32Array(1) })],
    ["steps.strings.lengths", (t) => (t.steps.strings = { text: "words", lengths: Uint32Array.of(2, 2) })],
    ["steps.strings.lengths", (t) => (t.steps.strings = { text: "words", lengths: Uint32Array.of(5, 2 ** 32 - 1) })],
    ["steps.strings.lengths", (t) => (t.steps.strings = { text: "words", lengths: [5] })],
    ["steps.strings[3]", (t) => (t.steps.strings[3] = 3)],
    ["steps.instruction", (t) => (t.steps.instruction = 3)],
    ["steps.admissible.offsets", (t) => (t.steps.admissible.offsets = new Uint32Array(5))],
    ["steps.admissible.offsets[0]", (t) => (t.steps.admissible.offsets[0] = 1)],
    ["steps.admissible.offsets[2]", (t) => (t.steps.admissible.offsets[2] = t.steps.admissible.offsets[1] - 1)],
    ["steps.admissible.offsets[5]", (t) => (t.steps.admissible.offsets[5] += 1)],
    ["steps.admissible.index[7]", (t) => (t.steps.admissible.index[7] = 2 ** 31)],
    ["steps.actions.values[1]", (t) => (t.steps.actions.values[1] = 1000)],
    ["steps.actions.values[1]", (t) => (t.steps.actions.values[1] = -1)],
    ["steps.actions.values", (t) => (t.steps.actions.values = new Float32Array(5))],
    ["steps.logProbs[4]", (t) => (t.steps.logProbs[4] = 0.5)],
    ["steps.logProbs[4]", (t) => (t.steps.logProbs[4] = Number.NaN)],
    ["steps.logProbs[4]", (t) => (t.steps.logProbs[4] = Number.NEGATIVE_INFINITY)],
    ["steps.logProbs", (t) => (t.steps.logProbs = [...t.steps.logProbs])],
    ["steps.rewards[0]", (t) => (t.steps.rewards[0] = Number.POSITIVE_INFINITY)],
    ["steps.rewards", (t) => (t.steps.rewards = new Float32Array(5))],
    ["steps.valid[0]", (t) => (t.steps.valid[0] = 2)],
    ["steps.valid", (t) => (t.steps.valid = new Uint8Array(6))],
    ["outcome.type", (t) => (t.outcome.type = "won")],
    ["outcome.return", (t) => (t.outcome.return = Number.NaN)],
    ["outcome.return", (t) => (t.outcome.return = 11)],
    ["outcome.success", (t) => (t.outcome.success = 1)],
  ])("%s (%#)", (field, change) => {
    expect(refusedField(change)).toBe(field);
  });

  test.each<[string, (t: Loose) => void]>([
    ["steps.observations.width", (t) => (t.steps.observations.width = 0)],
    ["steps.observations.values", (t) => (t.steps.observations.width = 3)],
    ["steps.observations.values[5]", (t) => (t.steps.observations.values[5] = Number.NaN)],
    ["steps.actionMask", (t) => (t.steps.actionMask = new Uint8Array(7))],
    ["steps.actionMask[3]", (t) => (t.steps.actionMask = new Uint8Array(10).fill(1, 0, 3).fill(7, 3))],
    ["steps.actions.values[0]", (t) => (t.steps.actionMask = new Uint8Array(10))],
  ])("of a vector episode: %s (%#)", (field, change) => {
    expect(refusedField(change, () => vectorTrajectory(5))).toBe(field);
  });

  test.each<[string, (t: Loose) => void]>([
    ["steps.tokens", (t) => (t.steps.tokens = [1])],
    ["steps.tokens", (t) => (t.steps.actions = { type: "choice", values: new Int32Array(5) })],
    ["steps.tokens.offsets", (t) => (t.steps.tokens.offsets = new Uint32Array(5))],
    ["steps.tokens.offsets[0]", (t) => (t.steps.tokens.offsets[0] = 1)],
    ["steps.tokens.offsets[2]", (t) => (t.steps.tokens.offsets[2] = t.steps.tokens.offsets[1])],
    ["steps.tokens.offsets[5]", (t) => (t.steps.tokens.offsets[5] += 1)],
    ["steps.tokens.values", (t) => (t.steps.tokens.values = new Uint32Array(t.steps.tokens.values))],
    ["steps.tokens.values[1]", (t) => (t.steps.tokens.values[1] = -1)],
    ["steps.tokens.values[1]", (t) => (t.steps.tokens.values[1] = 2 ** 24)],
    ["steps.tokens.logProbs", (t) => (t.steps.tokens.logProbs = new Float32Array(5))],
    ["steps.tokens.logProbs[0]", (t) => (t.steps.tokens.logProbs[0] = Number.NaN)],
    ["steps.tokens.logProbs[0]", (t) => (t.steps.tokens.logProbs[0] = 0.5)],
    ["steps.logProbs[3]", (t) => (t.steps.logProbs[3] *= 1.01)],
  ])("of a language model's episode: %s (%#)", (field, change) => {
    expect(refusedField(change, () => languageTrajectory(5))).toBe(field);
  });

  test.each<[string, (t: Loose) => void]>([
    ["members", (t) => (t.members = [])],
    ["members", (t) => (t.members = [1, 1])],
    ["members", (t) => (t.members = Array.from({ length: 5000 }, (_, i) => i))],
    ["members[1]", (t) => (t.members = [1, -1])],
    ["maxWeights", (t) => (t.maxWeights = 3)],
    ["minWeights", (t) => (t.minWeights = Number.POSITIVE_INFINITY)],
    ["environmentGeneration", (t) => delete t.environmentGeneration],
    ["run", (t) => (t.run = "a.b")],
  ])("of a group task: %s (%#)", (field, change) => {
    const changed = structuredClone(task);
    change(changed);
    expect(() => encodeGroupTask(changed)).toThrow(TypeError);
    expect(refusal(forged(changed), decodeGroupTask).field).toBe(field);
  });

  test("the message says what was attempted, expected and found", () => {
    const trajectory = textTrajectory(5) as Loose;
    trajectory.steps.logProbs[4] = 0.5;
    expect(refusal(forged(trajectory)).message).toBe(
      "Cannot decode trajectory: steps.logProbs[4] must be at most 0, found 0.5",
    );
    trajectory.lineage.run = `${"x".repeat(100_000)}/`;
    expect(refusal(forged(trajectory)).message).toContain('found "xxxx');
  });

  test("a density above 1 is allowed for continuous actions only", () => {
    const trajectory = vectorTrajectory(3);
    trajectory.steps!.actions = { type: "vector", width: 1, values: new Float32Array(3) };
    trajectory.steps!.logProbs.fill(0.7);
    expect(decodeTrajectory(encodeTrajectory(trajectory))).toEqual(trajectory);
  });

  test("a group task is not a trajectory, nor the other way round", () => {
    expect(refusal(encodeGroupTask(task)).field).toBe("lineage");
    expect(refusal(encodeTrajectory(textTrajectory(2)), decodeGroupTask).field).toBe("members");
  });
});

describe("hostile bytes", () => {
  const hex = (text: string) => message(PLAIN, new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex")));

  test("every truncation of a message is refused", () => {
    for (const trajectory of [textTrajectory(3), vectorTrajectory(3)]) {
      for (const bytes of [encodeTrajectory(trajectory), forged(trajectory)]) {
        for (let length = 0; length < bytes.length; length++) refusal(bytes.subarray(0, length));
      }
    }
  });

  test("bytes after the message are refused", () => {
    expect(refusal(message(PLAIN, Buffer.concat([packr.pack(textTrajectory(3)), Buffer.alloc(9)]))).message).toContain(
      "followed by 9 more bytes",
    );
  });

  test("six thousand random mutations either decode to a valid episode or are refused", () => {
    const random = seeded(7);
    const originals = [textTrajectory(4), vectorTrajectory(4), randomTrajectory(11)];
    const messages = originals.flatMap((t) => [forged(t), message(PLAIN, maps.pack(t)), encodeTrajectory(t)]);
    let survived = 0;
    for (let i = 0; i < 6000; i++) {
      const bytes = messages[i % messages.length].slice();
      for (let flips = 1 + Math.floor(random() * 4); flips > 0; flips--) {
        const at = Math.floor(random() * bytes.length);
        bytes[at] = random() < 0.5 ? bytes[at] ^ (1 << Math.floor(random() * 8)) : Math.floor(random() * 256);
      }
      try {
        // Whatever is accepted must satisfy the writer's checks too.
        encodeTrajectory(decodeTrajectory(bytes));
        survived++;
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
      }
    }
    expect(survived).toBeGreaterThan(0);
  });

  test("random bytes are refused", () => {
    const random = seeded(3);
    for (let i = 0; i < 3000; i++) {
      const bytes = Uint8Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256));
      if (bytes.length > 0) bytes[0] = [PLAIN, ZSTD, DEFLATE][i % 3];
      refusal(bytes);
    }
  });

  test("a decompression bomb is refused without being inflated", () => {
    const zeros = new Uint8Array(codecLimits.maxDecodedBytes + 1);
    for (const bytes of [message(ZSTD, zlib.zstdCompressSync(zeros)), message(DEFLATE, zlib.deflateRawSync(zeros))]) {
      expect(bytes.length).toBeLessThan(100_000);
      expect(refusal(bytes).message).toContain(`at most ${codecLimits.maxDecodedBytes} bytes decompressed`);
    }
  });

  test("size limits hold before and after decompression", () => {
    const bytes = encodeTrajectory(textTrajectory());
    expect(refusal(bytes, (b) => decodeTrajectory(b, { ...codecLimits, maxEncodedBytes: 100 })).message).toContain(
      `at most 100 bytes, found ${bytes.length}`,
    );
    expect(refusal(bytes, (b) => decodeTrajectory(b, { ...codecLimits, maxDecodedBytes: 100 })).message).toContain(
      "at most 100 bytes decompressed",
    );
    expect(
      refusal(forged(textTrajectory()), (b) => decodeTrajectory(b, { ...codecLimits, maxDecodedBytes: 100 })).message,
    ).toContain("at most 100 bytes");
  });

  test.each([
    ["a regular expression", new Packr({ moreTypes: true }).pack(/x+/)],
    ["an error", new Packr({ moreTypes: true }).pack(new Error("boo"))],
    ["a set", new Packr({ moreTypes: true }).pack(new Set([1]))],
    ["a date", packr.pack(new Date(0))],
    ["a big integer", packr.pack(12345678901234567890n)],
    ["an array buffer", new Packr({ moreTypes: true }).pack(new ArrayBuffer(4))],
    [
      "a cycle",
      (() => {
        const cyclic: Loose = { outcome: 1 };
        cyclic.lineage = cyclic;
        return new Packr({ structuredClone: true }).pack(cyclic);
      })(),
    ],
  ])("%s never reaches the unpacker", (_, body) => {
    expect(refusal(message(PLAIN, body)).message).toMatch(/never data here|malformed typed array/);
  });

  test.each([
    ["an array that claims four billion elements", "dd ff ff ff ff"],
    ["a map that claims four billion entries", "df ff ff ff ff"],
    ["a string that claims four billion bytes", "db ff ff ff ff 61"],
    ["a typed array longer than the message", "c9 ff ff ff ff 74 07"],
    ["a record with a field list that is no list", "d4 72 40 01 02"],
    ["a record with two-byte ids", "d5 72 40 00 90"],
    ["a typed array of unknown type", "c7 05 74 63 00 00 00 00"],
    ["a Float32Array of three bytes", "c7 04 74 07 00 00 00"],
    ["the token that MessagePack never uses", "c1"],
    ["a bundle of strings", "d6 62 00 00 00 01 a1 61"],
    ["a reference to nothing", "d6 70 00 00 00 01"],
    ["nesting without end", "91".repeat(100_000)],
  ])("%s is refused", (_, body) => {
    refusal(hex(body));
  });

  test("many small values cannot become much memory", () => {
    const bytes = hex(`dd 00 ff ff ff ${"80".repeat(0xff_ffff)}`);
    expect(refusal(bytes, (b) => decodeTrajectory(b, { ...codecLimits, maxEncodedBytes: 1 << 26 })).message).toContain(
      "more than 1048576 values",
    );
  });

  test("a key named __proto__ changes no prototype", () => {
    const body = maps.pack(
      JSON.parse('{"__proto__": {"lineage": 1}, "constructor": 5, "toString": 6, "outcome": {"type": "x"}}'),
    );
    expect(refusal(message(PLAIN, body)).field).toBe("lineage");
    expect(({} as Loose).lineage).toBeUndefined();
  });

  test("a hostile message leaves nothing behind for the next one", () => {
    const good = encodeTrajectory(textTrajectory(3));
    refusal(hex("d4 72 40 92 a1 61 a1 62 01 d4 72 41 91 a1 63"));
    refusal(hex("92 d4 72 40 91 a7 6c 69 6e 65 61 67 65 01 40 02"));
    expect(decodeTrajectory(good)).toEqual(textTrajectory(3));
  });

  test("another format version is refused, saying which", () => {
    const bytes = encodeGroupTask(task);
    bytes[0] = 0x20;
    expect(refusal(bytes, decodeGroupTask).message).toContain("format version must be 1, found 2");
    bytes[0] = 0x1f;
    expect(refusal(bytes, decodeGroupTask).message).toContain("compression must be 0, 1 or 2, found 15");
  });
});
