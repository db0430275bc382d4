import { expect, test } from "bun:test";
import { memoryBus } from "../../proto/bus/memory.ts";
import { checkMethods, defineKind, type Handle } from "./kind.ts";
import { ActorSystem } from "./system.ts";
import { Counter } from "./testing/counter.ts";

/** True only for the very same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const isSame = <A, B>(_: Same<A, B>) => {};

/** Checked by the compiler; never run. */
async function typed(system: ActorSystem): Promise<void> {
  const counter = await system.spawn(Counter, { start: 1 });
  isSame<ReturnType<typeof counter.add>, Promise<number>>(true);
  isSame<ReturnType<typeof counter.sleep>, Promise<number>>(true); // a method's own promise is not nested
  isSame<ReturnType<typeof counter.tell.add>, Promise<void>>(true);
  isSame<Parameters<typeof counter.add>, [n: number]>(true);
  await counter.options({ timeoutMs: 10, retries: 1 }).add(1);

  // @ts-expect-error an argument of another type
  await counter.add("1");
  // @ts-expect-error too few arguments
  await counter.add();
  // @ts-expect-error no such method
  await counter.subtract(1);
  // @ts-expect-error the answer is a number
  (await counter.add(1)).length;
  // @ts-expect-error no such option
  counter.options({ timeout: 10 });
  // @ts-expect-error the kind's arguments are typed
  await system.spawn(Counter, { start: "1" });
  // @ts-expect-error and needed
  await system.spawn(Counter, {});
  // @ts-expect-error disposing is the node's business
  counter[Symbol.asyncDispose]();

  const many = await system.spawn(Counter, { start: 1 }, { count: 3 });
  isSame<typeof many, (typeof counter)[]>(true);
  // @ts-expect-error several actors are no actor
  await many.add(1);

  const same = await system.get(Counter, "name");
  isSame<typeof same, typeof counter>(true);

  // @ts-expect-error a handle keeps this name for itself
  defineKind({ name: "bad", module: import.meta.url, create: () => ({ kill: () => 1 }) });
  // @ts-expect-error what is no function is no method
  const state: Handle<{ count: number }>["count"] = 1;
  return state;
}

test("a handle is typed by its kind", () => {
  expect(typed).toBeFunction();
});

test("a handle can be awaited without calling its actor", async () => {
  const system = new ActorSystem(memoryBus());
  const counter = await system.spawn(Counter, { start: 1 }, { name: "never-placed" });
  expect((await counter).name).toBe("never-placed");
  await system.close();
});

test("a kind must have a name that fits into a subject, and methods that a handle can offer", () => {
  expect(() => defineKind({ name: "a b", module: import.meta.url, create: () => ({}) })).toThrow(RangeError);
  expect(() => checkMethods("odd", null)).toThrow("must make an object with methods, found null");
  // biome-ignore lint/suspicious/noThenProperty: that is the point
  expect(() => checkMethods("odd", { then: () => 1 })).toThrow("has a method 'then'");
});

test("spawn() refuses what cannot be, before anybody hears of it", async () => {
  const system = new ActorSystem(memoryBus());
  const spawn = (options: object, args: unknown = { start: 0 }) => system.spawn(Counter, args as { start: 0 }, options);
  await expect(spawn({ name: "a.b" })).rejects.toThrow("cannot name an actor");
  await expect(spawn({ cpus: -1 })).rejects.toThrow("must be a number >= 0, found -1");
  await expect(spawn({ mailbox: 0.5 })).rejects.toThrow("mailbox of actor");
  await expect(spawn({ labels: { "a b": "c" } })).rejects.toThrow("Labels are");
  await expect(spawn({ count: 0 })).rejects.toThrow("count must be a whole number >= 1, found 0");
  await expect(spawn({}, { start: () => 1 })).rejects.toThrow("start is a function");
  await expect(spawn({}, { start: 0, stillborn: "x".repeat(70_000) })).rejects.toThrow("at most 65536 bytes are taken");
  const remote = { ...Counter, module: "https://somewhere/counter.ts" };
  await expect(system.spawn(remote, { start: 0 })).rejects.toThrow("must be its import.meta.url, a file");
  expect(await system.list()).toEqual([]);
  await system.close();
});
