import { beforeAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findDeno } from "./sandbox-process.ts";

const script = join(import.meta.dirname, "runtimes.script.ts");
const installed = join(import.meta.dirname, "../../node_modules/.bin/deno");
const deno = await findDeno(existsSync(installed) ? installed : "");

type Played = Record<"none" | "deno" | "auto", { how: string; turns: string }>;

function played(command: string, ...args: string[]): Played {
  return JSON.parse(execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }));
}

let onBun: Played;

beforeAll(() => {
  if (deno) onBun = played(process.execPath, script, deno);
});

test.skipIf(!deno)(
  "a bundle plays alike in this process and in a sandbox, and it is said which (skipped without Deno)",
  () => {
    expect(onBun.deno.turns).toEqual(onBun.none.turns);
    expect(onBun.none.how).toBe("bundle, signed by KEY, in this process (sandbox = none)");
    expect(onBun.deno.how).toBe("bundle, signed by KEY, in a Deno process without permissions");
    expect(onBun.auto).toEqual(onBun.deno); // the key is not this machine's own
  },
);

test.skipIf(!deno)(
  "so it does on Deno, with no more permissions than an actor has (skipped without Deno)",
  () => {
    const permissions = ["--allow-net", "--allow-read", "--allow-env", "--allow-sys", `--allow-run=${deno}`];
    expect(played(deno!, "run", "--no-lock", "--quiet", "--no-prompt", ...permissions, script)).toEqual(onBun);
  },
  60_000,
);

test.skipIf(!deno || !Bun.which("node"))(
  "and on Node, where actors are one bundled file (skipped without Node)",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "proxima-bundle-node-"));
    try {
      const built = await Bun.build({ entrypoints: [script], target: "node", outdir: folder, naming: "script.mjs" });
      expect(built.success).toBe(true);
      expect(played("node", join(folder, "script.mjs"), deno!)).toEqual(onBun);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  60_000,
);
