import { expect, test } from "bun:test";
import { Commands } from "./commands.ts";
import { joinTexts } from "./texts.ts";

test("every command is found where it stands, and nothing else is found", () => {
  const texts = ["", "go", "go to bed", "go to bed 1", "go to bed 10", "go to bed 2", "two\nlines", "zé"];
  const commands = new Commands(joinTexts(texts));
  expect(commands.length).toBe(texts.length);
  for (const [i, text] of texts.entries()) {
    expect(commands.find(text)).toBe(i);
    expect(commands.at(i)).toBe(text);
    expect(commands.at(i)).toBe(text); // As it was kept.
  }
  for (const other of ["g", "go ", "go to bed 3", "go to bed 11", "zz", "zê"]) expect(commands.find(other)).toBe(-1);
});

test("nothing is found where there are no commands", () => {
  expect(new Commands(joinTexts([])).find("look")).toBe(-1);
});
