/**
 * The software bill of materials of what `npm install proxima` brings, in CycloneDX, and whether every licence in it goes with ours:
 * `bun deploy/ci/bill-of-materials.ts [FILE]` writes it (default .cache/bill-of-materials.cdx.json) and fails for a licence that is not
 * known to.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import packageJson from "../../package.json" with { type: "json" };

export interface Bill {
  components: readonly {
    name: string;
    version: string;
    licenses?: readonly { license?: { id?: string; name?: string }; expression?: string }[];
  }[];
}

/** Permissive: what uses them may be distributed under Apache-2.0 as long as their notices stay, which npm's packages carry. */
const compatible = new Set([
  "0BSD",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "BlueOak-1.0.0",
  "ISC",
  "MIT",
  "Unlicense",
]);

/** One sentence for each component whose licence is missing or not among the compatible. */
export function licenceProblems({ components }: Bill): string[] {
  return components.flatMap(({ name, version, licenses = [] }) => {
    const found = licenses.map(({ license, expression }) => expression ?? license?.id ?? license?.name ?? "");
    const fits = found.length > 0 && found.every(isCompatible);
    return fits
      ? []
      : [`${name} ${version}: expected one of ${[...compatible].join(", ")}, found ${found.join(", ") || "none"}`];
  });
}

/** Of the alternatives (OR) one must do, of what applies together (AND) all. Brackets are not looked into: such a licence is a problem. */
function isCompatible(expression: string): boolean {
  const alternatives = expression.replace(/^\((.*)\)$/, "$1").split(" OR ");
  return alternatives.some((each) => each.split(" AND ").every((id) => compatible.has(id.trim())));
}

/** Resolved by npm in an empty folder, as at an installation: beside development's packages it would leave out what both need. */
function billOf(manifest: object): string {
  const folder = mkdtempSync(join(tmpdir(), "proxima-bill-"));
  try {
    const npm = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync("npm", args, { cwd: folder, encoding: "utf8", maxBuffer: 1 << 28 });
      if (status !== 0) throw new Error(`npm ${args[0]} failed: ${stderr}`);
      return stdout;
    };
    writeFileSync(join(folder, "package.json"), JSON.stringify({ ...manifest, devDependencies: {} }));
    npm("install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund");
    return npm("sbom", "--package-lock-only", "--sbom-format", "cyclonedx", "--sbom-type", "library");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const root = resolve(import.meta.dirname, "../..");
  const file = resolve(process.argv[2] ?? join(root, ".cache/bill-of-materials.cdx.json"));
  const text = billOf(packageJson);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  const bill = JSON.parse(text) as Bill;
  const problems = licenceProblems(bill);
  console.log(`${bill.components.length} components: ${file}`);
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
