import { describe, expect, test } from "bun:test";
import { resolveArguments } from "../arguments.ts";
import type { Transition, Turn } from "../environment.ts";
import { Shopper } from "./shopper.ts";
import { sayIfSkipped, smallData } from "./testing.ts";
import webshop from "./webshop.ts";

sayIfSkipped("shopper.test.ts");

const instruction = "Find me pillows with color: blue, and size: 2 pack, and price lower than 20.00 dollars";
const results = ["click[back to search]", "click[next >]", "click[item - a]", "click[item - b]", "click[item - c]"];
const product = (...options: string[]) => [
  "click[back to search]",
  "click[< prev]",
  ...options.map((option) => `click[${option}]`),
  "click[buy now]",
];

/** What it does at pages that offer these actions, one after the other. */
function visits(shopper: Shopper, ...pages: string[][]): string[] {
  return pages.map((admissible) => shopper.next({ observation: "", instruction, admissible }));
}

test("a shopper goes on to the next product until one offers all options that are named, and chooses them", () => {
  const pages = [
    ["search[pillows]", "search[blue]"],
    results,
    product("blue", "red"),
    results,
    product("blue", "2 pack", "4 pack"),
  ];
  expect(
    visits(new Shopper(), ...pages, product("blue", "2 pack", "4 pack"), product("blue", "2 pack", "4 pack")),
  ).toEqual([
    "search[pillows]",
    "click[item - a]",
    "click[< prev]",
    "click[item - b]",
    "click[2 pack]",
    "click[blue]",
    "click[buy now]",
  ]);
});

test("where none offers all, the one that offered most is bought", () => {
  const pages = [
    results,
    product("red"),
    results,
    product("blue"),
    results,
    product("green"),
    results,
    product("blue"),
    product("blue"),
  ];
  expect(visits(new Shopper(), ...pages)).toEqual([
    "click[item - a]",
    "click[< prev]",
    "click[item - b]",
    "click[< prev]",
    "click[item - c]",
    "click[< prev]",
    "click[item - b]",
    "click[blue]",
    "click[buy now]",
  ]);
});

test("with one try the first product is taken as it is", () => {
  expect(visits(new Shopper(1), results, product("blue"), product("blue"))).toEqual([
    "click[item - a]",
    "click[blue]",
    "click[buy now]",
  ]);
});

describe.skipIf(smallData === undefined)("on the small catalogue", () => {
  test("every demonstration is admissible and succeeds; most tasks have one", async () => {
    const source = await webshop.load(resolveArguments(webshop, { data: smallData }));
    const env = source.create();
    let known = 0;
    for (let i = 0; i < 100; i++) {
      const task = source.tasks("train").at(i);
      const actions = (await source.demonstrate?.({ task, seed: 0 })) as string[];
      if (actions.length === 0) continue;
      known++;
      let turn: Turn | Transition = await env.reset({ task, seed: 0 });
      for (const action of actions) {
        expect(turn.admissible).toContain(action);
        turn = await env.step(action);
      }
      expect(turn).toMatchObject({ terminated: true, valid: true, success: true });
    }
    expect(known).toBeGreaterThan(60);
  });

  test("searches typed freely have no demonstrations", async () => {
    const source = await webshop.load(resolveArguments(webshop, { data: smallData, actions: "text" }));
    expect(source.demonstrate).toBeUndefined();
  });
});
