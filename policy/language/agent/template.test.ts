import { expect, test } from "bun:test";
import { agentTemplate, templateFor } from "./template.ts";
import { templates } from "./templates.ts";

test("a template file replaces the parts it names and takes the others from its base", () => {
  const template = agentTemplate(`base = "alfworld"
first = '''
Task: {instruction}'''
hidden = ["look"]`);
  expect(template).toEqual({ ...templates.alfworld!, first: "Task: {instruction}", hidden: ["look"] });
});

test("environments without a template of their own have the plain one", () => {
  expect([templateFor("alfworld"), templateFor("webshop"), templateFor("my-world")]).toEqual([
    "alfworld",
    "webshop",
    "plain",
  ]);
});

test("what is no template is refused with what was expected", () => {
  const message = (text: string) => {
    try {
      agentTemplate(text);
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(message("alfwold")).toBe(
    "There is no agent template 'alfwold'; did you mean 'alfworld'?; built in are plain, alfworld, webshop",
  );
  expect(message("first = ")).toStartWith("The agent template is no TOML: ");
  expect(message('base = "none"')).toContain(`"base" must be one of plain, alfworld, webshop, found "none"`);
  expect(message('frist = "a"')).toBe("An agent template has no part 'frist'; did you mean 'first'?");
  expect(message("first = 3")).toBe(`The agent template's "first" must be a string, found 3`);
  expect(message('hidden = "help"')).toBe(`The agent template's "hidden" must be a list of texts, found "help"`);
});
