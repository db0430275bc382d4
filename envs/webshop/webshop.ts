/**
 * Buy what an instruction asks for in a web shop: the text environment of WebShop (Yao et al. 2022, https://arxiv.org/abs/2207.01206)
 * on its original data. The reward of the purchase is between 0 and 1, and only 1 is a success.
 */
import { countArgument } from "../arguments.ts";
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
import { type Catalogue, openCatalogue } from "./catalogue.ts";
import { findDataFiles } from "./data-files.ts";
import { type GoalKind, Goals } from "./goals.ts";
import { asHtml, asRichText, asText } from "./page.ts";
import { searchCandidates } from "./search-candidates.ts";
import { Shopper } from "./shopper.ts";
import { SearchDesk, Visit } from "./visit.ts";

const OBSERVATIONS = ["text", "text_rich", "html"] as const;
const ACTIONS = ["candidates", "text"] as const;
const GOALS = ["synthetic", "human"] as const;
const CATALOGUES = ["small", "full"] as const;

const MAX_OBSERVATION_LENGTH = 4_000_000;
const MAX_ACTION_LENGTH = 10_000;

type ObservationMode = (typeof OBSERVATIONS)[number];

interface Shop {
  catalogue: Catalogue;
  desk: SearchDesk;
  goals: Goals;
  showAttributes: boolean;
}

class WebShop implements Environment {
  readonly spec: EnvironmentSpec;
  private readonly shop: Shop;
  private readonly mode: ObservationMode;
  private visit: Visit | undefined;
  private instruction = "";
  private searches: readonly string[] | undefined;
  private stepsTaken = 0;

  constructor(spec: EnvironmentSpec, shop: Shop, mode: ObservationMode) {
    this.spec = spec;
    this.shop = shop;
    this.mode = mode;
  }

  reset({ task }: { task: string; seed: number }): Turn {
    const { catalogue, desk, goals, showAttributes } = this.shop;
    const goal = goals.at(goalIndex(task, goals.size));
    this.visit = new Visit(catalogue, desk, goal, task, showAttributes);
    this.instruction = goal.instruction;
    this.searches =
      this.spec.action.type === "admissible"
        ? searchCandidates(goal.instruction).map((query) => `search[${query}]`)
        : undefined;
    this.stepsTaken = 0;
    return this.turn(this.visit);
  }

  step(action: Action): Transition {
    const { visit } = this;
    if (visit === undefined) throw new Error("webshop: step() without a running episode; call reset() first");
    if (typeof action !== "string") {
      throw new TypeError(`webshop: an action is a text such as search[red shoes], found a ${typeof action}`);
    }
    this.stepsTaken++;
    const valid = action.length <= MAX_ACTION_LENGTH && visit.act(this.meant(action, visit));
    const terminated = visit.bought !== undefined;
    const truncated = !terminated && this.stepsTaken >= this.spec.maxEpisodeSteps;
    const reward = visit.bought?.reward ?? 0;
    const transition: Transition = { ...this.turn(visit), reward, terminated, truncated, valid };
    if (terminated || truncated) {
      transition.success = reward === 1;
      this.visit = undefined;
    }
    return transition;
  }

  close(): void {
    this.visit = undefined;
  }

  private turn(visit: Visit): Turn {
    return { observation: this.observe(visit), instruction: this.instruction, admissible: this.admissible(visit) };
  }

  private observe(visit: Visit): string {
    switch (this.mode) {
      case "text":
        return asText(visit.page);
      case "text_rich":
        return asRichText(visit.page, visit.url, visit.visited);
      case "html":
        return asHtml(visit.page, visit.options);
    }
  }

  private admissible(visit: Visit): readonly string[] | undefined {
    if (visit.page.kind === "search") return this.searches;
    return offered(visit, this.searches !== undefined).actions;
  }

  /** A product listed by its title is opened by its number. */
  private meant(action: string, visit: Visit): string {
    if (this.searches === undefined || visit.page.kind !== "results") return action;
    return offered(visit, true).numbers.get(action) ?? action;
  }
}

interface Offer {
  actions: readonly string[];
  /** click[item - title] → click[asin] */
  numbers: ReadonlyMap<string, string>;
}

/** What can be clicked on a page; as long as the page is kept. */
const plainOffers = new WeakMap<readonly string[], Offer>();
const titledOffers = new WeakMap<readonly string[], Offer>();

/** @param byTitle lists products as the original's own baselines do: a number says nothing to a policy that scores words */
function offered(visit: Visit, byTitle: boolean): Offer {
  const offers = byTitle ? titledOffers : plainOffers;
  const { clickables, page } = visit;
  let offer = offers.get(clickables);
  if (offer === undefined) {
    const titles = new Map<string, string>();
    if (byTitle) {
      for (const [i, { type, text }] of page.body.entries()) {
        if (type === "link") titles.set(text.toLowerCase(), page.body[i + 1].text.toLowerCase());
      }
    }
    const numbers = new Map<string, string>();
    const actions = clickables
      .filter((name) => name !== "")
      .map((name) => {
        const title = titles.get(name);
        const titled = `click[item - ${title}]`;
        if (title === undefined || numbers.has(titled)) return `click[${name}]`;
        numbers.set(titled, `click[${name}]`);
        return titled;
      });
    offer = { actions, numbers };
    offers.set(clickables, offer);
  }
  return offer;
}

/** Tasks are named as in the original's web interface: fixed_<number of the goal>. */
function taskName(index: number): string {
  return `fixed_${index}`;
}

function goalIndex(task: string, count: number): number {
  const match = /^fixed_(\d{1,15})$/.exec(task);
  const index = match === null ? Number.NaN : Number(match[1]);
  if (index < count) return index;
  throw new RangeError(
    `webshop: there is no task "${task.slice(0, 80)}"; tasks are ${taskName(0)} … ${taskName(count - 1)} with these goals`,
  );
}

/** The original's division: goals 0–499 to test, 500–1,499 to evaluate, the rest to train; a tenth and a tenth where there are few. */
function divide(count: number): Readonly<Record<string, [first: number, end: number]>> {
  const many = count >= 3000;
  const test = many ? 500 : Math.max(1, Math.floor(count / 10));
  const held = many ? 1500 : 2 * test;
  return { train: [held, count], eval: [test, held], test: [0, test] };
}

function oneOf<T extends string>(args: EnvironmentArguments, name: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === args[name]);
  if (found !== undefined) return found;
  throw new RangeError(`webshop: argument "${name}" is one of ${choices.join(", ")}, found "${args[name]}"`);
}

function wholeNumber(args: EnvironmentArguments, name: string): number {
  const value = args[name];
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff) return value;
  throw new RangeError(`webshop: argument "${name}" must be an integer from 0 to ${0xffff_ffff}, found ${value}`);
}

const definition: EnvironmentDefinition = {
  id: "webshop",
  summary: "Find and buy what an instruction asks for in a web shop (WebShop, on its original data).",
  arguments: {
    data: {
      default: "",
      about: 'Folder of the data files; "" looks in $WEBSHOP_DATA, $PROXIMA_DATA/webshop and the cache.',
    },
    catalogue: { default: "small", about: "small: 1,000 products. full: 1.18 million." },
    limit: { default: 0, about: "Takes the first products of the catalogue only; 0 takes all." },
    goals: { default: "synthetic", about: "synthetic: made from attributes and options. human: written by people." },
    actions: {
      default: "candidates",
      about: "candidates: searches are listed, and products by title. text: any search.",
    },
    observation: { default: "text", about: `How a page is shown: ${OBSERVATIONS.join(", ")}.` },
    showAttributes: { default: false, about: "Adds the page of attributes to each product." },
    maxEpisodeSteps: { default: 15, about: "Steps after which an episode is truncated." },
    priceSeed: { default: 233, about: "Of the prices that the original draws anew in each process." },
  },
  trainingDefaults: { estimator: "proxmo", policy: "candidates", "policy.wishes": true },
  load(args): EnvironmentSource {
    const goalKind: GoalKind = oneOf(args, "goals", GOALS);
    const mode = oneOf(args, "observation", OBSERVATIONS);
    const actions = oneOf(args, "actions", ACTIONS);
    const [limit, priceSeed] = [wholeNumber(args, "limit"), wholeNumber(args, "priceSeed")];
    const files = findDataFiles(String(args.data), oneOf(args, "catalogue", CATALOGUES));
    const catalogue = openCatalogue(files, limit, priceSeed);
    const goals = new Goals(catalogue, goalKind);
    const shop: Shop = {
      catalogue,
      goals,
      desk: new SearchDesk(catalogue),
      showAttributes: args.showAttributes === true,
    };
    const spec: EnvironmentSpec = {
      id: "webshop",
      observation: { type: "text", maxLength: MAX_OBSERVATION_LENGTH },
      action: actions === "candidates" ? { type: "admissible" } : { type: "text", maxLength: MAX_ACTION_LENGTH },
      maxEpisodeSteps: countArgument(args, "maxEpisodeSteps"),
      hasSuccess: true,
    };
    const bounds = divide(goals.size);
    const splits = Object.keys(bounds);
    const sets = Object.fromEntries(splits.map((name) => [name, taskSet(name, ...bounds[name])]));
    return {
      spec,
      splits,
      tasks(split) {
        if (!Object.hasOwn(sets, split)) throw unknownSplit(split, splits);
        return sets[split];
      },
      create: () => new WebShop(spec, shop, mode),
      ...(actions === "candidates" ? { demonstrate: ({ task }) => shopped(new WebShop(spec, shop, mode), task) } : {}),
      taskType: (task) => catalogue.product(goals.at(goalIndex(task, goals.size)).product).category || "other",
    };
  },
};

/** What a shopper by rule does where that is a success, otherwise nothing. */
function shopped(env: WebShop, task: string): readonly Action[] {
  const shopper = new Shopper();
  const actions: string[] = [];
  for (let turn: Turn | Transition = env.reset({ task, seed: 0 }); ; ) {
    actions.push(shopper.next(turn));
    const next = env.step(actions[actions.length - 1]);
    if (next.terminated || next.truncated) return next.success ? actions : [];
    turn = next;
  }
}

function taskSet(name: string, first: number, end: number): TaskSet {
  const size = end - first;
  return {
    size,
    at(index) {
      if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
        throw new RangeError(`webshop: split "${name}" has tasks 0 … ${size - 1}, found ${index}`);
      }
      return taskName(first + index);
    },
  };
}

export default definition;
