import { expect, test } from "bun:test";
import { Random } from "../random.ts";
import { type GameFile, loadGame } from "./game.ts";
import { household } from "./household/household.ts";
import { GamePack, packGames } from "./pack.ts";
import { Play } from "./play.ts";
import { TASK_TYPES } from "./task-type.ts";
import { LIGHTS } from "./testing/lights.ts";

const files: { name: string; file: GameFile }[] = [
  ...TASK_TYPES.map((type) => ({ name: `t/${type}`, file: household(type, type, false) })),
  { name: "lights/1", file: LIGHTS },
];
const bytes = packGames(files, "here");

test("games from a pack play as those from their files", () => {
  const pack = new GamePack(bytes);
  expect(pack.source).toBe("here");
  expect(pack.names).toEqual(files.map(({ name }) => name));
  for (const { name, file } of files) {
    const [a, b] = [new Play(loadGame(file)), new Play(pack.load(name)!)];
    expect(b.game.walkthrough).toEqual(a.game.walkthrough);
    expect([b.game.intro, b.game.instruction]).toEqual([a.game.intro, a.game.instruction]);
    const random = new Random(1);
    for (let step = 0; step < 40; step++) {
      expect(b.admissible).toEqual(a.admissible);
      const command = random.pick(a.admissible);
      expect(b.do(command)).toBe(a.do(command)!);
      expect(b.won).toBe(a.won);
    }
  }
  expect(pack.load("t/other")).toBeUndefined();
});

test("a pack is a small part of its games", () => {
  const whole = files.reduce((sum, { file }) => sum + JSON.stringify(file).length, 0);
  expect(bytes.length * 2).toBeLessThan(whole);
});

test("a damaged pack is refused whole", () => {
  for (const at of [40, 60, bytes.length >> 1, bytes.length - 1]) {
    const damaged = bytes.slice();
    damaged[at] ^= 1;
    expect(() => new GamePack(damaged)).toThrow("damaged");
  }
  expect(() => new GamePack(bytes.slice(0, -1))).toThrow("damaged");
  expect(() => new GamePack(bytes.slice(0, 20))).toThrow("damaged");
  expect(() => new GamePack(new TextEncoder().encode("PXGAMES1 and more"))).toThrow('expected "PXGAMES3"');
  expect(() => new GamePack(new Uint8Array(0))).toThrow("not a pack");
});

test("a game that cannot be played is not packed, and the error names it", () => {
  const file = { ...LIGHTS, pddl_problem: LIGHTS.pddl_problem.replace(/\(:goal[\s\S]*/, "(:goal (on nothing)))") };
  expect(() => packGames([{ name: "lights/broken", file }], "here")).toThrow("cannot pack the game lights/broken: ");
});
