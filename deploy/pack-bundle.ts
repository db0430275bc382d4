/** From an environment's file to a bundle: one ES module that runs on Bun, Deno and Node, with what it imports inside. */
import { isBuiltin } from "node:module";
import { relative, resolve } from "node:path";
import type { BunPlugin } from "bun";
import { type Bundle, digestOf, MAX_BUNDLE_BYTES, type Manifest } from "../envs/bundle/bundle.ts";
import { toDefinition } from "../envs/registry.ts";
import packageJson from "../package.json" with { type: "json" };

export interface PackOptions {
  /** Modules of the runtime that may stay imports: "node:fs". */
  allowImports: readonly string[];
}

/** Throws Error naming what it imports that not every runtime has, or why it defines no environment. */
export async function packBundle(file: string, { allowImports }: PackOptions): Promise<Bundle> {
  const entry = resolve(file);
  const importers = new Map<string, Set<string>>();
  const built = await Bun.build({
    entrypoints: [entry],
    target: "browser", // takes nothing of a runtime for granted
    format: "esm",
    // Comments hold paths of this machine; names stay, for the sake of stack traces.
    minify: { whitespace: true },
    plugins: [runtimeImports(importers)],
    throw: false,
  });
  if (!built.success) throw new AggregateError(built.logs, `Cannot pack ${file}: ${built.logs.map(String).join("; ")}`);
  const code = new Uint8Array(await built.outputs[0]!.arrayBuffer());
  // What the bundle still imports, as opposed to what some file of it would have imported, had it been used.
  const scanned = new Bun.Transpiler({ loader: "js" }).scanImports(code).map(({ path }) => path);
  const imports = [...new Set(scanned)].sort();
  const offending = imports.filter((name) => !allowImports.includes(name));
  if (offending.length > 0) {
    const list = offending.map((name) => {
      const by = [...(importers.get(name) ?? [])].map((path) => relative(".", path));
      return by.length > 0 ? `${name} (in ${by.join(", ")})` : name;
    });
    throw new Error(
      `Cannot pack ${file}: it imports ${list.join(", ")}. A bundle runs on Bun, Deno and Node and, in a sandbox, without files or network: ` +
        `leave the import out, or allow it with --allowImports ${offending.join(",")}`,
    );
  }
  if (code.length > MAX_BUNDLE_BYTES)
    throw new Error(`Cannot pack ${file}: the bundle has ${code.length} bytes, at most ${MAX_BUNDLE_BYTES} are taken`);
  const url = `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`;
  const { id } = toDefinition(((await import(url)) as { default?: unknown }).default, file);
  const manifest: Manifest = {
    format: 1,
    id,
    entry: "default",
    digest: digestOf(code),
    bytes: code.length,
    imports,
    createdBy: `proxima ${packageJson.version}`,
  };
  return { manifest, code };
}

/** Leaves modules of the runtimes as imports, and remembers whose they are. */
function runtimeImports(importers: Map<string, Set<string>>): BunPlugin {
  return {
    name: "runtime imports",
    setup(build) {
      build.onResolve({ filter: /^[a-z]/ }, ({ path, importer }) => {
        if (!isBuiltin(path) && !/^(bun|deno|npm|jsr|https?)(:|$)/.test(path)) return undefined;
        const name = isBuiltin(path) && !path.includes(":") ? `node:${path}` : path;
        importers.set(name, (importers.get(name) ?? new Set()).add(importer));
        return { path: name, external: true };
      });
    },
  };
}
