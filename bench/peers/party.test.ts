import { expect, test } from "bun:test";
import { Party } from "./party.ts";

const party = (code: string, patienceMs?: number) => new Party(process.execPath, ["-e", code], patienceMs);

test("a party answers lines with lines, and ends with its input", async () => {
  const echo = party(`for await (const line of console) console.log("heard " + line)`);
  echo.ask("one");
  expect(await echo.hears()).toBe("heard one");
  echo.ask(2);
  await echo.hears("heard 2");
  await echo.end();
});

test("what went wrong is told with the last words of a party that ends", async () => {
  const failing = party(`console.error("first"); console.error("no oil"); process.exit(3)`);
  await expect(failing.hears("ready")).rejects.toThrow(/should say ready, found its end; its last words: no oil$/);
});

test("a party that says something else is told by what it said", async () => {
  const other = party(`console.log("WARNING: many workers")`);
  await expect(other.hears("ready")).rejects.toThrow(/should say ready, found WARNING: many workers$/);
  await other.end();
});

test("a party that says nothing for too long is killed", async () => {
  const silent = party("setInterval(() => {}, 1000)", 50);
  await expect(silent.hears("ready")).rejects.toThrow("should say ready, found nothing for 0.05 s");
  await silent.end();
});

test("a program that is not there is told like one that ends", async () => {
  const missing = new Party("/nowhere/python", ["script.py"]);
  await expect(missing.hears()).rejects.toThrow(/`python script.py` should say something, found its end; .*ENOENT/);
});
