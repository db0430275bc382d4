import { expect, test } from "bun:test";
import { Commands, Vocabulary } from "./commands.ts";

const texts = ["", "go", "go to bed", "go to bed 1", "go to bed 10", "go to bed 2", "two\nlines", "zé"];
const commandsOf = (vocabulary: Vocabulary, sorted: readonly string[]) =>
  new Commands(vocabulary.texts, vocabulary.numbersOf(sorted));

test("every command is found where it stands, and nothing else is found", () => {
  const commands = commandsOf(new Vocabulary(), texts);
  expect(commands.length).toBe(texts.length);
  for (const [i, text] of texts.entries()) {
    expect(commands.find(text)).toBe(i);
    expect(commands.at(i)).toBe(text);
  }
  for (const other of ["g", "go ", "go to bed 3", "go to bed 11", "zz", "zê"]) expect(commands.find(other)).toBe(-1);
});

test("nothing is found where there are no commands", () => {
  expect(commandsOf(new Vocabulary(), []).find("look")).toBe(-1);
});

test("games that share a vocabulary have each their own commands, and the vocabulary has each text once", () => {
  const vocabulary = new Vocabulary();
  const later = commandsOf(vocabulary, texts.slice(4));
  const all = commandsOf(vocabulary, texts);
  expect(later.find("go")).toBe(-1);
  expect(later.find("zé")).toBe(3);
  for (const [i, text] of texts.entries()) expect(all.find(text)).toBe(i);
  expect([...vocabulary.texts].sort()).toEqual(texts);
});

test("a vocabulary has room for more texts than 16 bits can count", () => {
  const vocabulary = new Vocabulary();
  vocabulary.numbersOf(Array.from({ length: 0x10000 }, (_, i) => `go to ${i}`));
  const commands = commandsOf(vocabulary, ["go to 65535", "go to bed"]);
  expect([commands.at(0), commands.at(1)]).toEqual(["go to 65535", "go to bed"]);
});
