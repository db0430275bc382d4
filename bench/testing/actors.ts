/** A kind of actor for benchmarks. */

import { defineKind } from "../../actors/system/kind.ts";

/** Answers with what it is given. */
export const Echo = defineKind({
  name: "echo",
  module: import.meta.url,
  create: (_: null) => ({ echo: (value: number) => value }),
});
