import { expect, test } from "bun:test";
import { type Bill, licenceProblems } from "./bill-of-materials.ts";

const bill = (
  ...licences: ({ license?: { id?: string; name?: string }; expression?: string } | undefined)[]
): Bill => ({
  components: licences.map((licence, i) => ({ name: `p${i}`, version: "1.0.0", licenses: licence && [licence] })),
});

test("permissive licences pass, alone, as one of several choices, and together", () => {
  const fine = bill(
    { license: { id: "MIT" } },
    { expression: "(GPL-3.0 OR MIT)" },
    { expression: "Apache-2.0 AND ISC" },
  );
  expect(licenceProblems(fine)).toEqual([]);
});

test("others are named with what was found: copyleft, a mixture with it, words that are no licence, none at all", () => {
  const problems = licenceProblems(
    bill(
      { license: { id: "GPL-3.0" } },
      { expression: "MIT AND GPL-3.0" },
      { license: { name: "see LICENSE" } },
      undefined,
    ),
  );
  expect(problems.map((line) => line.replace(/expected.*found/, "found"))).toEqual([
    "p0 1.0.0: found GPL-3.0",
    "p1 1.0.0: found MIT AND GPL-3.0",
    "p2 1.0.0: found see LICENSE",
    "p3 1.0.0: found none",
  ]);
});
