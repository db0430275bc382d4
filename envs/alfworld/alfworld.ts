/**
 * ALFWorld (Shridhar et al. 2021, "ALFWorld: Aligning Text and Embodied Environments for Interactive Learning"): find,
 * treat and bring things in the rooms of a house, told in words. Plays the original game files as the original does (see
 * docs/alfworld.md); without them, games of its own making in the same format.
 *
 * Tasks are called `<split>/<task>/<trial>` as the files are, or `household/<split>/<type>/<number>`. The seed changes nothing.
 */

import { cacheFolder } from "../../proto/cache-folder.ts";
import type {
  Action,
  Environment,
  EnvironmentArguments,
  EnvironmentDefinition,
  EnvironmentSource,
  EnvironmentSpec,
  TaskSet,
  Transition,
  Turn,
} from "../environment.ts";
import { unknownSplit } from "../one-task.ts";
import { hash32 } from "../random.ts";
import { DATA_SPLITS, findData, hasSplit, SplitGames } from "./data.ts";
import { type Game, loadGame, NOTHING_HAPPENS } from "./game.ts";
import { household } from "./household/household.ts";
import { Play } from "./play.ts";
import { parseTaskTypes, TASK_TYPES, type TaskType, typeOfFolder } from "./task-type.ts";

/** Members of a group play the same game, and groups come back to it. */
const REMEMBERED_GAMES = 256;
const MAX_COMMAND_LENGTH = 10_000;
const EVAL_HOUSEHOLDS = 600;

interface Rewards {
  success: number;
  invalid: number;
}

class Alfworld implements Environment {
  readonly spec: EnvironmentSpec;
  readonly #rewards: Rewards;
  readonly #game: (task: string) => Game;
  #play: Play | undefined;
  #steps = 0;

  constructor(spec: EnvironmentSpec, rewards: Rewards, game: (task: string) => Game) {
    this.spec = spec;
    this.#rewards = rewards;
    this.#game = game;
  }

  reset({ task }: { task: string; seed: number }): Turn {
    const game = this.#game(task);
    this.#play = new Play(game);
    this.#steps = 0;
    return { observation: game.intro, instruction: game.instruction, admissible: this.#play.admissible };
  }

  step(action: Action): Transition {
    const play = this.#play;
    if (play === undefined) throw new Error("alfworld: step() without a running episode; call reset() first");
    if (typeof action !== "string") throw new TypeError(`alfworld: an action is a command, found a ${typeof action}`);
    if (action.length > MAX_COMMAND_LENGTH) {
      throw new RangeError(
        `alfworld: a command has at most ${MAX_COMMAND_LENGTH} characters, found one of ${action.length}`,
      );
    }
    this.#steps++;
    const answer = play.do(action);
    const valid = answer !== undefined;
    const success = play.won;
    const truncated = !success && this.#steps >= this.spec.maxEpisodeSteps;
    const transition: Transition = {
      observation: answer ?? NOTHING_HAPPENS,
      instruction: play.game.instruction,
      admissible: play.admissible,
      reward: (success ? this.#rewards.success : 0) + (valid ? 0 : this.#rewards.invalid),
      terminated: success,
      truncated,
      valid,
    };
    if (success || truncated) {
      transition.success = success;
      this.#play = undefined;
    }
    return transition;
  }

  close(): void {
    this.#play = undefined;
  }
}

/** Where games come from. */
interface Games {
  readonly splits: readonly string[];
  tasks(split: string): TaskSet;
  /** Throws RangeError for a task that there is not. */
  load(task: string): Game;
  typeOf(task: string): TaskType | undefined;
}

class DataGames implements Games {
  readonly splits: readonly string[];
  readonly #games = new Map<string, SplitGames>();
  readonly #types: readonly TaskType[];
  readonly #trainGames: number;
  readonly #sets = new Map<string, TaskSet>();

  constructor(root: string, types: readonly TaskType[], trainGames: number, cache: string | undefined) {
    this.#types = types;
    this.#trainGames = trainGames;
    const present = DATA_SPLITS.filter((split) => hasSplit(root, split));
    for (const split of present) this.#games.set(split, new SplitGames(root, split, cache));
    this.splits = ["train", "eval", ...present.filter((split) => split !== "train")];
  }

  /** `eval` is what may be looked at while developing. */
  #real(split: string): string {
    if (split !== "eval") return split;
    return this.#games.has("valid_train") ? "valid_train" : "valid_seen";
  }

  tasks(split: string): TaskSet {
    if (!this.splits.includes(split)) throw unknownSplit(split, this.splits);
    const real = this.#real(split);
    let set = this.#sets.get(real);
    if (!set) {
      const games = this.#games.get(real);
      if (!games) {
        throw new RangeError(`alfworld: the data has no split "${real}", only ${[...this.#games.keys()].join(", ")}`);
      }
      const names = games.names().filter((name) => {
        const type = typeOfFolder(name);
        return type === undefined ? this.#types.length === TASK_TYPES.length : this.#types.includes(type);
      });
      // In an order of their own, so that any stretch of them holds all types.
      const order = new Map(names.map((name) => [name, hash32(name)]));
      names.sort((a, b) => order.get(a)! - order.get(b)! || (a < b ? -1 : 1));
      set = listed(
        split,
        names.slice(0, split === "train" ? this.#trainGames : undefined).map((name) => `${real}/${name}`),
      );
      this.#sets.set(real, set);
    }
    return set;
  }

  load(task: string): Game {
    const [split, ...name] = task.split("/");
    const games = this.#games.get(split);
    if (!games || name.length !== 2 || name.some((part) => !/^[\w .+-]+$/.test(part) || part.startsWith("."))) {
      throw new RangeError(
        `alfworld: there is no task ${JSON.stringify(task.slice(0, 200))}: expected <split>/<task>/<trial> with one of the ` +
          `splits ${[...this.#games.keys()].join(", ")}`,
      );
    }
    return games.load(name.join("/"));
  }

  typeOf(task: string): TaskType | undefined {
    return typeOfFolder(task.split("/", 2)[1] ?? "");
  }
}

class HouseholdGames implements Games {
  readonly splits = ["train", "eval"];
  readonly #types: readonly TaskType[];
  readonly #trainGames: number;

  constructor(types: readonly TaskType[], trainGames: number) {
    this.#types = types;
    this.#trainGames = trainGames;
  }

  tasks(split: string): TaskSet {
    if (!this.splits.includes(split)) throw unknownSplit(split, this.splits);
    const size = split === "eval" ? EVAL_HOUSEHOLDS : this.#trainGames;
    return {
      size,
      at: (index) => {
        if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
          throw new RangeError(`alfworld: split "${split}" has tasks 0 … ${size - 1}, found ${index}`);
        }
        return `household/${split}/${this.#types[index % this.#types.length]}/${index}`;
      },
    };
  }

  load(task: string): Game {
    const [, split, , number] = /^household\/(train|eval)\/(\w+)\/(\d{1,16})$/.exec(task) ?? [];
    const type = this.typeOf(task);
    if (number === undefined || type === undefined) {
      throw new RangeError(
        `alfworld: there is no task ${JSON.stringify(task.slice(0, 200))}: expected household/<split>/<type>/<number>` +
          (task.startsWith("household/") ? "" : "; without the data set only games of its own making can be played"),
      );
    }
    return loadGame(household(task, type, split === "eval"));
  }

  typeOf(task: string): TaskType | undefined {
    return TASK_TYPES.find((type) => type === task.split("/", 3)[2]);
  }
}

function listed(split: string, names: readonly string[]): TaskSet {
  return {
    size: names.length,
    at(index) {
      const name = names[index];
      if (name === undefined) {
        throw new RangeError(`alfworld: split "${split}" has tasks 0 … ${names.length - 1}, found ${index}`);
      }
      return name;
    },
  };
}

function openGames(args: EnvironmentArguments): Games {
  const types = parseTaskTypes(String(args.types));
  const trainGames = Number(args.games) || Number.POSITIVE_INFINITY;
  if (trainGames < 1 || !(Number.isSafeInteger(trainGames) || trainGames === Number.POSITIVE_INFINITY))
    throw new RangeError(`alfworld: games must be a whole number, 0 for all, found ${args.games}`);
  const data = String(args.data);
  if (data === "household") return new HouseholdGames(types, trainGames);
  const root = findData(data);
  if (root === undefined) return new HouseholdGames(types, trainGames);
  return new DataGames(root, types, trainGames, args.cache === true ? cacheFolder() : undefined);
}

const definition: EnvironmentDefinition = {
  id: "alfworld",
  summary: "ALFWorld's household games in words, faithful to the original; without its files, games of its own making.",
  arguments: {
    data: {
      default: "",
      about:
        'Folder with ALFWorld\'s json_2.1.1; "household" for games of its own making. Else $ALFWORLD_DATA, $PROXIMA_DATA or the cache, if they have it.',
    },
    types: { default: "", about: `Task types to play, separated by commas: ${TASK_TYPES.join(", ")}. Empty: all.` },
    games: { default: 0, about: "Train on this many games only, of all types; 0: all there are." },
    maxEpisodeSteps: { default: 50, about: "Commands until the episode is truncated." },
    reward: { default: 1, about: "Reward of success." },
    invalidReward: { default: 0, about: "Added to the reward of a command that means nothing, such as -0.1." },
    cache: {
      default: true,
      about: "Keep a pack of the games of a split in the cache, so that the next start is quick.",
    },
  },
  trainingDefaults: {
    policy: "candidates",
    "policy.hidden": "32",
    estimator: "proxmo",
    learningRate: 2e-3,
    totalEnvSteps: 1_200_000,
  },
  load(args): EnvironmentSource {
    const maxEpisodeSteps = Number(args.maxEpisodeSteps);
    if (!Number.isSafeInteger(maxEpisodeSteps) || maxEpisodeSteps < 1) {
      throw new RangeError(`alfworld: maxEpisodeSteps must be an integer of at least 1, found ${args.maxEpisodeSteps}`);
    }
    const spec: EnvironmentSpec = {
      id: "alfworld",
      observation: { type: "text", maxLength: 10_000 },
      action: { type: "admissible" },
      maxEpisodeSteps,
      hasSuccess: true,
    };
    const rewards = { success: Number(args.reward), invalid: Number(args.invalidReward) };
    const games = openGames(args);
    const remembered = new Map<string, Game>();
    const game = (task: string): Game => {
      let known = remembered.get(task);
      if (known) {
        remembered.delete(task); // The one used last goes to the end.
      } else {
        known = games.load(task);
        if (remembered.size >= REMEMBERED_GAMES) remembered.delete(remembered.keys().next().value!);
      }
      remembered.set(task, known);
      return known;
    };
    return {
      spec,
      splits: games.splits,
      tasks: (split) => games.tasks(split),
      create: () => new Alfworld(spec, rewards, game),
      demonstrate: ({ task }) => game(task).walkthrough,
      taskType: (task) => games.typeOf(task) ?? "Other",
    };
  },
};

export default definition;
