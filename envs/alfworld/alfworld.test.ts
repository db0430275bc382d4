import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveArguments } from "../arguments.ts";
import type { EnvironmentSource, Transition, Turn } from "../environment.ts";
import definition from "./alfworld.ts";
import { household } from "./household/household.ts";
import { TASK_TYPES } from "./task-type.ts";
import { validationGames } from "./testing/data.ts";

const folder = mkdtempSync(join(tmpdir(), "proxima-alfworld-test-"));
const environment = { ...process.env };
beforeAll(() => {
  process.env.PROXIMA_CACHE = join(folder, "cache");
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  process.env = environment;
});

const load = (given: Record<string, unknown> = {}) =>
  definition.load(resolveArguments(definition, given)) as EnvironmentSource;
const own = (given: Record<string, unknown> = {}) => load({ data: "household", ...given });

/** A folder of the data set's shape with household games in it. */
function dataFolder(name: string, splits: readonly string[]): string {
  const root = join(folder, name, "json_2.1.1");
  const kinds = { pick_and_place_simple: "Pick", pick_heat_then_place_in_recep: "Heat" } as const;
  for (const split of splits) {
    for (const [kind, type] of Object.entries(kinds)) {
      for (const trial of ["trial_1", "trial_2"]) {
        const at = join(root, split, `${kind}-Mug-None-Desk-3`, trial);
        mkdirSync(at, { recursive: true });
        writeFileSync(join(at, "game.tw-pddl"), JSON.stringify(household(`${split}${trial}`, type, false)));
      }
    }
  }
  return join(folder, name);
}

function play(source: EnvironmentSource, task: string, commands: readonly unknown[]): Transition[] {
  const env = source.create();
  env.reset({ task, seed: 0 });
  return commands.map((command) => env.step(command as string) as Transition);
}

test("without any data there are games without end to train on, and others for evaluation", () => {
  const source = own();
  expect(source.splits).toEqual(["train", "eval"]);
  expect(source.tasks("train").size).toBe(Number.POSITIVE_INFINITY);
  expect(source.tasks("train").at(1e9)).toBe("household/train/Cool/1000000000");
  expect(source.tasks("eval").size).toBe(600);
  expect(() => source.tasks("eval").at(600)).toThrow("tasks 0 … 599");
  const types = Array.from({ length: 12 }, (_, i) => source.taskType!(source.tasks("train").at(i)));
  expect(types).toEqual([...TASK_TYPES, ...TASK_TYPES]);
});

test("a demonstration wins, with the reward at its end", () => {
  const source = own({ reward: 10 });
  const task = source.tasks("eval").at(2);
  const steps = play(source, task, source.demonstrate!({ task, seed: 0 }) as string[]);
  expect(steps.map((s) => s.reward)).toEqual([...new Array(steps.length - 1).fill(0), 10]);
  expect(steps.map((s) => s.terminated)).toEqual([...new Array(steps.length - 1).fill(false), true]);
  expect(steps.at(-1)).toMatchObject({ success: true, truncated: false, valid: true });
});

test("a command that means nothing is answered, counted and fined", () => {
  const source = own({ maxEpisodeSteps: 3, invalidReward: -0.1 });
  const [first, second, third] = play(source, source.tasks("train").at(0), ["dance", "look", "go to the moon"]);
  expect(first).toMatchObject({ observation: "Nothing happens.", valid: false, reward: -0.1, truncated: false });
  expect(second).toMatchObject({ valid: true, reward: 0 });
  expect(third).toMatchObject({ valid: false, terminated: false, truncated: true, success: false });
});

test("hostile actions are refused without spoiling the episode", () => {
  const env = own().create();
  expect(() => env.step("look")).toThrow("call reset() first");
  const turn = env.reset({ task: "household/train/Pick/0", seed: 0 }) as Turn;
  expect(() => env.step(3)).toThrow(TypeError);
  expect(() => env.step("x".repeat(10_001))).toThrow("at most 10000 characters, found one of 10001");
  expect(env.step("x".repeat(10_000))).toMatchObject({ valid: false, admissible: turn.admissible });
});

test.each([
  "household/train/Pick/x",
  "household/test/Pick/1",
  "household/train/Pack/1",
  "train/pick_and_place_simple-Mug-None-Desk-301/trial_1",
  "",
])("the task %j does not exist, and that is said", (task) => {
  expect(() => own().create().reset({ task, seed: 0 })).toThrow(`there is no task ${JSON.stringify(task)}`);
});

test("training can be confined to some games, of all types; evaluation is not", () => {
  const few = own({ games: 12 }).tasks("train");
  expect(few.size).toBe(12);
  expect(few.at(11)).toBe(own().tasks("train").at(11));
  expect(() => few.at(12)).toThrow("tasks 0 … 11");
  expect(own({ games: 12 }).tasks("eval").size).toBe(own().tasks("eval").size);
  expect(() => own({ games: 1.5 })).toThrow("games must be a whole number");
});

test("only the wanted types are played", () => {
  const source = own({ types: "Cool, Look" });
  const types = Array.from({ length: 4 }, (_, i) => source.taskType!(source.tasks("train").at(i)));
  expect(types).toEqual(["Look", "Cool", "Look", "Cool"]);
  expect(() => own({ types: "Cook" })).toThrow('no task type "Cook"');
});

test("environments of one source play independently", () => {
  const source = own();
  const [a, b] = [source.create(), source.create()];
  const task = "household/train/Pick2/7";
  a.reset({ task, seed: 0 });
  const fresh = b.reset({ task, seed: 1 });
  for (const command of source.demonstrate!({ task, seed: 0 }) as string[]) a.step(command);
  expect((b.step("look") as Transition).admissible).toEqual((fresh as Turn).admissible);
});

test("splits are found in the folder given, in ALFWORLD_DATA, PROXIMA_DATA and the cache", () => {
  const data = dataFolder("found", ["train", "valid_train", "valid_seen"]);
  const splits = ["train", "eval", "valid_train", "valid_seen"];
  expect(load({ data }).splits).toEqual(splits);
  expect(load({ data: join(data, "json_2.1.1") }).splits).toEqual(splits);
  const source = load({ data });
  expect(source.tasks("eval").at(0)).toStartWith("valid_train/");
  expect(source.tasks("train").size).toBe(4);
  expect(new Set([0, 1, 2, 3].map((i) => source.taskType!(source.tasks("train").at(i))))).toEqual(
    new Set(["Pick", "Heat"]),
  );
  expect(load({ data, types: "Heat" }).tasks("train").size).toBe(2);
  expect(() => source.tasks("valid_unseen")).toThrow("There is no split");
  const { ALFWORLD_DATA, PROXIMA_DATA } = process.env;
  process.env.ALFWORLD_DATA = data;
  expect(load().splits).toEqual(splits);
  process.env.ALFWORLD_DATA = "";
  process.env.PROXIMA_DATA = data;
  expect(load().splits).toEqual(splits);
  Object.assign(process.env, { ALFWORLD_DATA: ALFWORLD_DATA ?? "", PROXIMA_DATA: PROXIMA_DATA ?? "" });
});

test("a data folder that is missing or empty is an error that says what to do", () => {
  expect(() => load({ data: join(folder, "nowhere") })).toThrow("which does not exist: expected a folder");
  mkdirSync(join(folder, "empty"));
  expect(() => load({ data: join(folder, "empty") })).toThrow("holds no games");
});

test("listing a split packs it once; a pack is taken until a game changes, and never when it is damaged", () => {
  const data = dataFolder("packed", ["train"]);
  const packs = join(folder, "cache", "alfworld", "compiled");
  const before = new Set(readdirSyncOrNone(packs));
  const task = load({ data }).tasks("train").at(0);
  const [made] = readdirSyncOrNone(packs).filter((name) => !before.has(name));
  expect(made).toStartWith("train-");
  const pack = join(packs, made);
  const game = join(data, "json_2.1.1", task, "game.tw-pddl");
  const intro = () => (load({ data }).create().reset({ task, seed: 0 }) as Turn).observation;
  const old = intro();

  const bytes = readFileSync(pack);
  writeFileSync(pack, bytes.subarray(0, bytes.length - 5));
  expect(intro()).toBe(old); // From the file.
  load({ data }).tasks("train");
  expect(readFileSync(pack).equals(bytes)).toBe(true);

  writeFileSync(game, JSON.stringify(household("another", "Clean", false)));
  utimesSync(game, 1, 1);
  expect(intro()).not.toBe(old);
  load({ data }).tasks("train");
  expect(readFileSync(pack).equals(bytes)).toBe(false);
});

test("a broken game names its file and the place", () => {
  const data = dataFolder("broken", ["train"]);
  const task = load({ data, cache: false }).tasks("train").at(0);
  const game = join(data, "json_2.1.1", task, "game.tw-pddl");
  const text = readFileSync(game, "utf8");
  writeFileSync(game, text.slice(0, 5000));
  const reset = () => load({ data, cache: false }).create().reset({ task, seed: 0 });
  expect(reset).toThrow(`cannot load the game ${game}: the game file is not JSON`);
  expect(() => load({ data }).tasks("train")).toThrow(`cannot read the game ${game}`);
  rmSync(game);
  expect(reset).toThrow("ENOENT");
  expect(() => load({ data }).create().reset({ task: "train/../../x/y", seed: 0 })).toThrow("there is no task");
  expect(() => load({ data }).create().reset({ task: "train/../passwd", seed: 0 })).toThrow("there is no task");
});

const validation = validationGames("all walkthroughs of the validation games");
describe.skipIf(validation === undefined)("the validation games", () => {
  afterAll(() => validation?.remove());

  test("all 340 walkthroughs win with their last command, each command being admissible", () => {
    const source = load({ data: validation!.root, cache: false });
    for (const [split, count] of [
      ["valid_train", 200],
      ["valid_seen", 140],
    ] as const) {
      const tasks = source.tasks(split);
      expect(tasks.size).toBe(count);
      const env = source.create();
      for (let i = 0; i < count; i++) {
        const task = tasks.at(i);
        let turn = env.reset({ task, seed: 0 }) as Turn;
        expect(turn.instruction).toMatch(/^[a-z]/);
        const walkthrough = source.demonstrate!({ task, seed: 0 }) as string[];
        for (const [k, command] of walkthrough.entries()) {
          expect(turn.admissible).toContain(command);
          const next = env.step(command) as Transition;
          expect(next.terminated).toBe(k === walkthrough.length - 1);
          turn = next;
        }
      }
    }
  }, 60_000);
});

function readdirSyncOrNone(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
