import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { EnvironmentSource, Transition } from "../environment.ts";
import { bundleText, harmless, hostile } from "../test-support/bundles.ts";
import { frames } from "./frames.ts";
import { findDeno, SandboxProcess } from "./sandbox-process.ts";
import { sandboxedSource } from "./sandboxed.ts";

const installed = join(import.meta.dirname, "../../node_modules/.bin/deno");
const deno = await findDeno(existsSync(installed) ? installed : "");
const opened: { close(): void }[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) each.close();
});

async function open(code: string, callTimeoutMs = 20_000, given: Record<string, string | number> = {}) {
  const options = { deno: deno!, code: new TextEncoder().encode(code), arguments: given, callTimeoutMs };
  const sandboxed = await sandboxedSource(options);
  opened.push(sandboxed);
  return sandboxed.source;
}

/** Resets and takes one step. */
async function firstStep(source: EnvironmentSource): Promise<Transition> {
  const environment = source.create();
  await environment.reset({ task: "task-0", seed: 1 });
  return environment.step(0);
}

describe.skipIf(!deno)("a bundle in a sandbox", () => {
  test("plays as it would in this process, bit for bit", async () => {
    const source = await open(harmless, 20_000, { bonus: "0.5" });
    expect(source.spec.observation).toEqual({ type: "box", shape: [2], low: -Infinity, high: Infinity });
    expect(source.tasks("train").size).toBe(Number.POSITIVE_INFINITY);
    expect(source.tasks("train").at(123_456)).toBe("task-123456");
    expect(source.tasks("eval").at(1)).toBe("two");
    expect(() => source.tasks("other")).toThrow("this environment has train, eval");
    const [one, two] = [source.create(), source.create()];
    const turns = await Promise.all([one.reset({ task: "a", seed: 3 }), two.reset({ task: "b", seed: 4 })]);
    expect(turns.map(({ instruction }) => instruction)).toEqual(["a", "b"]);
    expect(Object.is(turns[0].observation[1], -0)).toBe(true);
    const steps = await Promise.all([one.step(1), two.step(0)]);
    expect(steps[0]).toEqual({
      observation: Float32Array.of(1, 0.1),
      reward: 0.1 + 0.5,
      terminated: false,
      truncated: false,
    });
    await one.step(1);
    expect((await one.step(1)).terminated).toBe(true);
    expect((await two.step(1)).terminated).toBe(false);
  });

  test("reaches no network, no files, no environment variables and no other process", async () => {
    const source = await open(hostile);
    const found = JSON.parse((await firstStep(source)).instruction!) as Record<string, string>;
    for (const kind of ["network", "files", "environment", "subprocess", "system", "permission", "worker"])
      expect(Object.keys(found).some((name) => name.startsWith(kind))).toBe(true);
    expect(Object.entries(found).filter(([, outcome]) => outcome.startsWith("SUCCEEDED"))).toEqual([]);
    const denied = Object.values(found).filter((outcome) => /NotCapable|Requires .* access|denied/.test(outcome));
    expect(denied.length).toBeGreaterThan(15);
  });

  test("that hangs is killed at its deadline: the step fails with the reason, and the next episode plays in a fresh process", async () => {
    const source = await open(
      bundleText(
        "if (action === 0) for (;;); return { observation: new Float32Array(2), reward: 0, terminated: true, truncated: false };",
      ),
      1500,
    );
    await expect(firstStep(source)).rejects.toThrow("killed, as step took longer than 1500 ms");
    const environment = source.create();
    await environment.reset({ task: "task-0", seed: 1 });
    expect((await environment.step(1)).terminated).toBe(true);
  });

  test("that throws loses the step alone; one that ends its process loses what it played, with the reason", async () => {
    const throwing = await open(
      bundleText(
        "if (action === 0) throw new Error('out of coins'); return { observation: new Float32Array(2), reward: 0, terminated: true, truncated: false };",
      ),
    );
    const bystander = throwing.create();
    await bystander.reset({ task: "task-0", seed: 1 });
    await expect(firstStep(throwing)).rejects.toThrow("out of coins");
    expect((await bystander.step(1)).terminated).toBe(true);
    const leaving = await open(bundleText("Deno.exit(7)"));
    await expect(firstStep(leaving)).rejects.toThrow("it ended with code 7");
  });

  test("that says what is no answer is killed; what it prints is no answer either, and does no harm", async () => {
    const talking = bundleText(
      "console.log('hello'); Deno.stdout.writeSync(new Uint8Array([255, 255, 255, 255, 1])); for (;;);",
    );
    await expect(firstStep(await open(talking))).rejects.toThrow(
      "it sent what is no answer: a message of 4294967295 bytes",
    );
    const printing = harmless.replace("state.steps++;", "console.log('hello'); state.steps++;");
    expect((await firstStep(await open(printing))).terminated).toBe(false);
  });

  test("is not believed: a turn outside its space is refused", async () => {
    const lying = bundleText(
      "return { observation: new Float32Array(3), reward: 0, terminated: true, truncated: false };",
    );
    await expect(firstStep(await open(lying))).rejects.toThrow("the bundle gave an unusable turn: observation");
  });

  test("that cannot be loaded says why", async () => {
    await expect(open("export const other = 1;")).rejects.toThrow("its default export is no EnvironmentDefinition");
    await expect(open(bundleText("", "throw new Error('not today');"))).rejects.toThrow("not today");
    await expect(open(bundleText("", "import 'file:///etc/hostname.js';"))).rejects.toThrow("Requires read access");
    await expect(open(harmless, 1000, { bonsu: 1 })).rejects.toThrow('it has no argument "bonsu"; it takes bonus');
  });
});

test("without a Deno that runs, none is found", async () => {
  expect(await findDeno(join(dirname(installed), "no-such-deno"))).toBeUndefined();
  const gone = new SandboxProcess("/no/such/deno");
  await expect(gone.call({ call: "close", instance: 0 }, 5000)).rejects.toThrow("it cannot be started");
});

test("frames give back every number, whatever pieces they arrive in, and refuse one that is too large", () => {
  const { encode, decoder } = frames();
  const message = {
    a: Float32Array.of(0.1, -Infinity, -0),
    b: [-0, Infinity, 1e-320],
    c: Uint8Array.of(1, 0),
    d: "ü",
  };
  const bytes = new Uint8Array([...encode(message), ...encode("two")]);
  const decode = decoder(1000);
  const messages = Array.from(bytes, (_, i) => decode(bytes.subarray(i, i + 1))).flat();
  expect(messages).toEqual([message, "two"]);
  expect(() => decoder(10)(encode(message))).toThrow("at most 10 are taken");
});
