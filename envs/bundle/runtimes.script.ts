/** Plays a bundle in this process and in a sandbox, and prints what came of it. For the Deno of the sandbox, see the first argument. */
import process from "node:process";
import { memoryBus } from "../../proto/bus/memory.ts";
import { harmless } from "../test-support/bundles.ts";
import { digestOf, pushBundle } from "./bundle.ts";
import { generateKey, readSigner } from "./keys.ts";
import { EnvironmentLoader } from "./loader.ts";

const bundles = () => bus.objects("bundles");
const bus = memoryBus();
const { privateKey, publicKey } = await generateKey();
const code = new TextEncoder().encode(harmless);
const bundle = digestOf(code);
const manifest = {
  format: 1,
  id: "tested",
  entry: "default",
  digest: bundle,
  bytes: code.length,
  imports: [],
} as const;
await pushBundle(
  await bundles(),
  { code, manifest: { ...manifest, createdBy: "test" } },
  await readSigner(privateKey, "key"),
);

const played: Record<string, unknown> = {};
for (const sandbox of ["none", "deno", "auto"] as const) {
  const settings = {
    bundles,
    trustedKeys: publicKey,
    sandbox,
    denoProgram: process.argv[2] ?? "",
    callTimeoutMs: 20_000,
  };
  const { source, how, close } = await new EnvironmentLoader(settings).load({
    reference: "tested",
    bundle,
    arguments: { bonus: 2 },
  });
  const environment = source.create();
  const turns: unknown[] = [await environment.reset({ task: source.tasks("train").at(7), seed: 3 })];
  for (let i = 0; i < 3; i++) turns.push(await environment.step(1));
  await environment.close();
  close();
  played[sandbox] = {
    how: how.replace(publicKey, "KEY").replace(/bundle \w+/, "bundle"),
    turns: JSON.stringify(turns),
  };
}
console.log(JSON.stringify(played));
