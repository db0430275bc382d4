/**
 * ALFWorld's engine: steps a second with texts and admissible commands under a random policy; then beside the original on the same
 * games and commands: steps a second, milliseconds to start a game, memory of an environment.
 *   bun bench/alfworld.ts [--quick] [--rounds N] [--data FOLDER] [--games 4] [--steps 40]
 *   bun bench/alfworld.ts --memory GAMES --environments N     only the memory of N environments over so many games, as JSON
 * Without the data set it plays games of our own making. The original is left as it is; --games and --steps are what it plays.
 * Both sides give the same answers. Times are processor time, so that other work on the machine counts little.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findData, SplitGames } from "../envs/alfworld/data.ts";
import { type Game, loadGame, parseGameFile } from "../envs/alfworld/game.ts";
import { household } from "../envs/alfworld/household/household.ts";
import { originalPython, type Recording, record, type Spent } from "../envs/alfworld/original/original.ts";
import { GamePack, packGames } from "../envs/alfworld/pack.ts";
import { Play } from "../envs/alfworld/play.ts";
import { TASK_TYPES } from "../envs/alfworld/task-type.ts";
import { Random } from "../envs/random.ts";
import { peerScript } from "./peers/python.ts";
import { benchOptions, type Comparison, sideBySide } from "./peers/side-by-side.ts";

const GAMES = 120;
const EPISODES = 8;
const EPISODE_LENGTH = 50;
const ENVIRONMENTS = 1000;

const options = benchOptions(
  "alfworld",
  { rounds: 3, quickRounds: 1 },
  { data: "", games: "4", steps: "40", memory: "", environments: "" },
);
const values = options.extra as Record<"data" | "games" | "steps" | "memory" | "environments", string>;

/** Milliseconds of processor time, of all threads: compiling and collecting garbage count too. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const root = findData(values.data);
const folder = mkdtempSync(join(tmpdir(), "proxima-bench-alfworld-"));
const files = (count: number): string[] => {
  if (root !== undefined) {
    const names = new SplitGames(root, "train", undefined).names();
    return Array.from({ length: count }, (_, i) => {
      const name = names[Math.floor((i * names.length) / count)];
      return join(root, "train", name, "game.tw-pddl");
    });
  }
  return Array.from({ length: count }, (_, i) => {
    const type = TASK_TYPES[i % TASK_TYPES.length];
    const at = join(folder, `train/${type}/${i}`);
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, "game.tw-pddl"), JSON.stringify(household(`bench/${i}`, type, false)));
    return join(at, "game.tw-pddl");
  });
};

/** Plays `episodes` of each game at random, restarting after a win; returns steps played. */
function playAtRandom(games: readonly Game[], random: Random): number {
  let steps = 0;
  for (const game of games) {
    for (let episode = 0; episode < EPISODES; episode++) {
      const play = new Play(game);
      for (let step = 0; step < EPISODE_LENGTH && !play.won; step++, steps++) {
        const { admissible } = play;
        if (play.do(admissible[random.below(admissible.length)]) === undefined) throw new Error("not admissible");
      }
    }
  }
  return steps;
}

function load(texts: readonly string[]): Game[] {
  return texts.map((text) => loadGame(parseGameFile(text)));
}

async function main(): Promise<void> {
  console.log(`${root === undefined ? "games of our own making" : "ALFWorld's training games"}, ${GAMES} of them`);
  const paths = files(GAMES);
  const texts = paths.map((path) => readFileSync(path, "utf8"));
  for (let round = 0; round < 3; round++) load(texts); // Until it is compiled.

  let before = processorMs();
  const games = load(texts);
  const loadMs = (processorMs() - before) / texts.length;
  const pack = new GamePack(
    packGames(
      texts.map((text, i) => ({ name: `${i}`, file: parseGameFile(text) })),
      "",
    ),
  );
  for (let round = 0; round < 3; round++) for (const name of pack.names) pack.load(name);
  before = processorMs();
  for (const name of pack.names) pack.load(name);
  const packMs = (processorMs() - before) / texts.length;
  console.log(`load a game: ${loadMs.toFixed(2)} ms from its file's text, ${packMs.toFixed(2)} ms from a pack`);

  const random = new Random(1);
  before = processorMs();
  const firstSteps = playAtRandom(games, random);
  const firstRate = (firstSteps / (processorMs() - before)) * 1000;
  playAtRandom(games, random);
  before = processorMs();
  let steps = 0;
  for (let round = 0; round < 3; round++) steps += playAtRandom(games, random);
  const rate = (steps / (processorMs() - before)) * 1000;
  console.log(
    `play at random: ${Math.round(rate).toLocaleString("en")} steps/s with text and admissible commands ` +
      `(${Math.round(firstRate).toLocaleString("en")} while games are new)`,
  );

  await besideTheOriginal(paths.slice(0, Number(values.games)), Number(values.steps));

  if (options.quick) return;
  for (const different of [125, ENVIRONMENTS]) {
    const { resident } = memoryOf(different, ENVIRONMENTS);
    console.log(`${ENVIRONMENTS} environments over ${different} games: ${Math.round(resident)} MiB resident in all`);
  }
}

interface Memory {
  /** MiB of each environment. */
  each: number;
  /** MiB of the process. */
  resident: number;
}

function memoryOf(different: number, environments: number): Memory {
  const args = ["--memory", String(different), "--environments", String(environments), "--data", values.data];
  const child = spawnSync(process.execPath, [import.meta.path, ...args], { encoding: "utf8" });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout) as Memory;
}

/** The original, installed on first use. */
function original(): string {
  const found = originalPython();
  if (found !== undefined) return found;
  console.error("Installing the original ALFWorld, once: envs/alfworld/original/install.sh (minutes)");
  const script = fileURLToPath(new URL("../envs/alfworld/original/install.sh", import.meta.url));
  const { status, stdout, stderr } = spawnSync("bash", [script], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${script} failed: ${stderr.slice(-1500)}`);
  return stdout.trim();
}

/** The original as it is, playing random commands; the same ones for the same games. */
async function playOriginal(
  paths: readonly string[],
  steps: number,
): Promise<{ recordings: Recording[]; spent: Spent }> {
  let spent: Spent | undefined;
  const recordings: Recording[] = [];
  const how = { seed: 1, steps, plain: true, uniform: true, spent: (s: Spent) => (spent = s) };
  for await (const recording of record(original(), paths, how)) recordings.push(recording);
  if (!spent) throw new Error("the original did not tell its times");
  return { recordings, spent };
}

async function besideTheOriginal(paths: readonly string[], steps: number): Promise<void> {
  // What the original played once is what our engine plays in every pair.
  let first: Recording[] | undefined;
  const recorded = async () => (first ??= (await playOriginal(paths, steps)).recordings);
  const play: Comparison = {
    name: `ALFWorld, ${paths.length} games, ${steps} commands in each`,
    peer: "alfworld 0.4.2",
    measures: [
      { figure: "stepsPerSecond", unit: "steps/s of processor time", better: "more", goal: 500 },
      { figure: "startMs", unit: "ms to load and reset a game", better: "less" },
    ],
    async ours() {
      const recordings = await recorded();
      const texts = recordings.map(({ game }) => readFileSync(game, "utf8"));
      let before = processorMs();
      const games = load(texts);
      const plays = games.map((game) => new Play(game));
      const startMs = (processorMs() - before) / plays.length;
      // The same commands, often enough to measure.
      const rounds = Math.ceil(20_000 / (steps * games.length));
      before = processorMs();
      for (let round = 0; round < rounds; round++) {
        recordings.forEach(({ game, steps: told }, i) => {
          const play = new Play(games[i]!);
          for (let s = 1; s < told.length; s++) {
            if (play.do(told[s]![0]!) !== told[s]![1]) throw new Error(`differs at step ${s} of ${game}`);
            void play.admissible;
          }
        });
      }
      return { stepsPerSecond: (1000 * rounds * steps * games.length) / (processorMs() - before), startMs };
    },
    async theirs() {
      const { spent } = await playOriginal(paths, steps);
      return { stepsPerSecond: spent.steps / spent.step, startMs: (1000 * (spent.load + spent.reset)) / spent.games };
    },
  };
  const memory: Comparison = {
    name: `ALFWorld, ${paths.length} environments over as many games`,
    peer: "alfworld 0.4.2",
    measures: [{ figure: "memoryMiB", unit: "MiB for each environment", better: "less" }],
    async ours() {
      return { memoryMiB: memoryOf(paths.length, paths.length).each };
    },
    async theirs() {
      const child = spawnSync(original(), [peerScript("alfworld_memory.py"), "5"], {
        input: paths.join("\n"),
        encoding: "utf8",
      });
      if (child.status !== 0) throw new Error(child.stderr.slice(-1500));
      return { memoryMiB: Number(child.stdout) };
    },
  };
  await sideBySide(options, [play, memory]);
}

/** In a process of its own: memory of so many environments over so many games, after 5 steps each, as JSON. */
async function measureMemory(different: number, environments: number): Promise<void> {
  const paths = files(different);
  const bare = await settledMebibytes();
  const plays: Play[] = [];
  for (const path of paths) {
    const game = loadGame(parseGameFile(readFileSync(path, "utf8")));
    for (let i = 0; i < environments / different; i++) plays.push(new Play(game));
  }
  const random = new Random(1);
  for (let step = 0; step < 5; step++) {
    for (const play of plays) play.do(play.admissible[random.below(play.admissible.length)]!);
  }
  const resident = await settledMebibytes();
  console.log(JSON.stringify({ each: (resident - bare) / plays.length, resident } satisfies Memory));
}

/** What stays resident: freed pages go back to the system a little after they are free, how soon depends on the machine's load. */
async function settledMebibytes(): Promise<number> {
  for (let before = Number.POSITIVE_INFINITY; ; ) {
    Bun.gc(true);
    await Bun.sleep(500);
    const now = process.memoryUsage().rss / 2 ** 20;
    if (now > before - 1) return now;
    before = now;
  }
}

try {
  if (values.memory === "") await main();
  else await measureMemory(Number(values.memory), Number(values.environments));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
