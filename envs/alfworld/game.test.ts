import { expect, test } from "bun:test";
import { Random } from "../random.ts";
import { type GameFile, loadGame, parseGameFile } from "./game.ts";
import { Play } from "./play.ts";
import { LIGHTS, LIGHTS_DOMAIN, LIGHTS_PROBLEM, lightsGrammar } from "./testing/lights.ts";
import { LiteralWorld } from "./testing/literal.ts";

const load = (change: Partial<GameFile> = {}) => loadGame({ ...LIGHTS, ...change });

test("a game offers exactly what PDDL taken literally allows, along random plays", () => {
  const game = load();
  const random = new Random(3);
  let wins = 0;
  for (let episode = 0; episode < 20; episode++) {
    const play = new Play(game);
    const world = new LiteralWorld(LIGHTS_DOMAIN, LIGHTS_PROBLEM);
    for (let step = 0; step < 40; step++) {
      // An action that can change nothing is not offered.
      const possible = world.possible().filter((command) => !command.startsWith("nothing"));
      expect(play.admissible).toEqual(possible.sort());
      expect(play.won).toBe(world.won);
      if (world.won) wins++;
      const command = random.pick(possible);
      expect(play.do(command)).toBeString();
      world.apply(command);
    }
  }
  expect(wins).toBeGreaterThan(0);
});

test("the walkthrough wins with its last command", () => {
  const play = new Play(load());
  const won = LIGHTS.walkthrough.map((command) => [play.do(command) !== undefined, play.won]);
  expect(won).toEqual([...new Array(4).fill([true, false]), [true, true]]);
});

test("texts go by what was said: of opposite effects the loss is told last, and what was never lost is not denied", () => {
  const play = new Play(load());
  const before = "ann in the hall&bob in the den. Lit: lamp1&lamp2. Nothing said to be dark.";
  expect(play.game.intro).toBe(before);
  expect(play.do("report")).toBe(before);
  play.do("flip bob lamp3"); // It goes on, but texts hear of both effects of the switch.
  expect(play.do("report")).toBe("ann in the hall&bob in the den. Lit: lamp1&lamp2. Said to be dark: lamp3.");
  expect(play.admissible).toContain("go bob den loft");
});

test("in the text of an action its things are bound, and no other placeholder means them", () => {
  const play = new Play(load());
  expect(play.do("flip bob lamp3")).toBe("bob in the den. Lit: none. Said to be dark: lamp3.");
  const grammar = lightsGrammar().replaceAll("l.name", "m.name").replaceAll("l:lamp", "m:lamp");
  expect(new Play(load({ grammar })).do("flip bob lamp2")).toBe("bob in the den. Lit: lamp1. Nothing said to be dark.");
});

test("commands are taken as Python strips them, and nothing else is forgiven", () => {
  const play = new Play(load());
  expect(play.do(" \x1c\u00a0sleep ann")).toBeUndefined(); // It is not dark.
  expect(play.do("\t\x1dflip ann lamp1\u3000\n")).toBeString();
  for (const command of [
    "flip  ann lamp1",
    "Flip ann lamp1",
    "",
    "flip ann",
    "flip ann lamp1 now",
    "nothing ann hall",
  ]) {
    expect(play.do(command)).toBeUndefined();
  }
});

test("commands that depend on the state are spelled out anew at every step", () => {
  const templates = {
    ...Object.fromEntries([..."go swing blackout sleep report never nothing".split(" ")].map((name) => [name, name])),
    flip: "switch [{l.name | lit(l:lamp)}] #now#",
  };
  const rules = {
    intro: [{ rhs: "." }],
    now: [{ condition: "lit(l:lamp)", rhs: "off" }, { rhs: "on" }],
    list_empty: [{ rhs: "dark" }],
    list_separator: [{ rhs: "," }],
    list_last_separator: [{ rhs: "&" }],
  };
  const play = new Play(load({ grammar: lightsGrammar(templates, rules) }));
  const switches = () => play.admissible.filter((command) => command.startsWith("switch"));
  expect(switches()).toEqual(["switch dark on", "switch lamp1 off", "switch lamp2 off"]);
  expect(play.do("switch lamp1 off")).toBe(".");
  expect(switches()).toEqual(["switch dark on", "switch lamp2 off"]);
});

test("of several actions with one command the one whose atoms come first is meant", () => {
  const names = "go swing flip blackout sleep report never nothing".split(" ");
  const play = new Play(load({ grammar: lightsGrammar(Object.fromEntries(names.map((name) => [name, name]))) }));
  expect(play.admissible).toEqual(["flip", "go", "report", "swing"]);
  play.do("go"); // at(ann, hall) is before at(bob, den).
  expect(play.do("report")).toStartWith("ann in the den&bob in the den.");
});

test.each<[string, Partial<GameFile>, string]>([
  ["an unknown symbol", { grammar: lightsGrammar().replace("#denied#", "#denyed#") }, "'#denyed#' is not defined"],
  ["an unknown type", { grammar: lightsGrammar().replace("lit(l:lamp)", "lit(l:lampe)") }, "type 'lampe'"],
  ["an action without words", { grammar: lightsGrammar({ go: "go" }) }, "the action 'swing' has no template"],
  ["a goal out of reach", { pddl_problem: LIGHTS_PROBLEM.replace("(at bob loft)", "(lit ann)") }, "cannot be won"],
  [
    "an empty goal",
    { pddl_problem: LIGHTS_PROBLEM.replace(/\(:goal[\s\S]*\n/, "(:goal (and)))") },
    "its goal always holds",
  ],
  ["no action", { pddl_domain: LIGHTS_DOMAIN.replaceAll(":precondition", ":precondition (at ann ann) ;") }, "PDDL"],
  [
    "another domain",
    { pddl_problem: LIGHTS_PROBLEM.replace(":domain lights", ":domain light") },
    "(line 2, column 21)",
  ],
  [
    "an unknown object",
    { pddl_problem: LIGHTS_PROBLEM.replace("at bob den", "at bob dan") },
    "'dan' is not declared (line 4, column 32)",
  ],
  [
    "a constant of an unknown type",
    { pddl_domain: LIGHTS_DOMAIN.replace("Ann - person", "Ann - pers-on") },
    "the type 'pers-on' of the constant 'ann' is not declared",
  ],
  [
    "an unknown predicate",
    { pddl_domain: LIGHTS_DOMAIN.replace("(tired ?p) (forall", "(weary ?p) (forall") },
    "'weary' is not declared",
  ],
  [
    "too many arguments",
    { pddl_domain: LIGHTS_DOMAIN.replace("(tired ?p) (forall", "(tired ?p ?p) (forall") },
    "takes 1 arguments, found 2",
  ],
  [
    "an unbound variable",
    { pddl_domain: LIGHTS_DOMAIN.replace("(tired ?p) (forall", "(tired ?q) (forall") },
    "'?q' is not declared",
  ],
  [
    "a derived predicate that denies itself",
    { pddl_domain: LIGHTS_DOMAIN.replace("(not (shut ?a ?c)) (reach ?c ?b)", "(not (reach ?c ?b))") },
    "its own negation",
  ],
])("a game with %s is refused, saying so", (_, change, message) => {
  expect(() => load(change)).toThrow(message);
});

test.each<[string, string, string]>([
  ["cut off", '{"pddl_domain": "x", "gramm', "ends too early (line 1, column"],
  ["no JSON", '{"a": 1,\n  b}', 'unexpected "b}" (line 2, column 3)'],
  ["a list", "[]", "must be a JSON object"],
  ["without a problem", '{"pddl_domain": "", "grammar": ""}', "no text 'pddl_problem'"],
  ["unsolvable", JSON.stringify({ ...LIGHTS, solvable: false }), "marked as unsolvable"],
  ["with a walkthrough of numbers", JSON.stringify({ ...LIGHTS, walkthrough: [1] }), "must be a list of commands"],
])("a game file that is %s is refused, saying so", (_, text, message) => {
  expect(() => parseGameFile(text)).toThrow(message);
});

test.each<[string, string]>([
  ['action go { template :: "x"; }', "the action go has no feedback (line 1, column 8)"],
  ['action go { template :: "x"; template :: "y"; }', "is given twice (line 1, column 30)"],
  ['action go { templet :: "x"; }', 'found "templet"'],
  ["\n  rule x", "expected 'action' or 'grammar', found \"rule\" (line 2, column 3)"],
  ['grammar :: """{"a": [}""";', "is not JSON: unexpected"],
  ['grammar :: """{"a": []}""";', 'a list of rules for the symbol "a"'],
  ['grammar :: """{"a": [{"rhs": 1}]}""";', 'a rule of "a"'],
  ['grammar :: """\n{"a": [{"rhs": "{o.name}"}],\n "b": [{"rhs": "{o.name *}"}]}""";', "(line 3, column 2)"],
  ['grammar :: """\n{"a": [{"rhs": "x", "condition": "p("}]}""";', 'the symbol "a": the condition "p("'],
])("the grammar %j is refused with its place", (grammar, message) => {
  expect(() => load({ grammar })).toThrow(message);
});

test("a text that never ends is refused", () => {
  const rules = { intro: [{ rhs: "#a#" }], a: [{ rhs: "x #intro#" }] };
  expect(() => load({ grammar: lightsGrammar(undefined, rules) })).toThrow("never ends");
});

test("a game that would take for ever to ground is refused", () => {
  const many = Array.from({ length: 60 }, (_, i) => `r${i} - room`).join(" ");
  const pddl_problem = LIGHTS_PROBLEM.replace("Hall Den Loft - room", `Hall Den Loft - room ${many}`);
  const rooms = "abcdefg".replace(/./g, (name) => ` ?${name} - room`);
  for (const action of [
    `(:action never :parameters (?p - person${rooms}) :precondition (and (at ?p ?a) (shut ?f ?g)) :effect (reported))`,
    `(:action never :parameters (?p - person) :precondition (tired ?p) :effect (forall (${rooms}) (way ?a ?g)))`,
    `(:action never :parameters (?p - person) :precondition (forall (${rooms}) (way ?a ?g)) :effect (reported))`,
  ]) {
    const pddl_domain = LIGHTS_DOMAIN.replace(/\(:action never.*/, action);
    expect(() => load({ pddl_domain, pddl_problem })).toThrow("too large");
  }
});
