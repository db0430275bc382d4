import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

setDefaultTimeout(60_000);

const proxima = join(import.meta.dir, "..", "proxima.ts");

/** The command on a machine whose cache is empty and which has no NVIDIA driver on its PATH. */
async function onABareMachine(...args: string[]) {
  const cache = mkdtempSync(join(tmpdir(), "proxima-gpu-"));
  try {
    const env = { ...process.env, PROXIMA_CACHE: cache, PATH: "/nonexistent", NVIDIA_TF32_OVERRIDE: "0" };
    const child = Bun.spawn([process.execPath, proxima, ...args], { env, stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { code: await child.exited, out, err, cache };
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

test("doctor gpu says of each part what is missing and how to get it", async () => {
  const { code, out, cache } = await onABareMachine("doctor", "gpu", "--json");
  expect(code).toBe(1);
  const checks = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const of = (name: string) => checks.find((check) => check.name === name);
  expect(of("webgpu: packages")).toMatchObject({ ok: false, fix: `proxima gpu install webgpu (into ${cache}/gpu)` });
  expect(of("webgpu: packages").found).toContain("webgpu missing");
  expect(of("webgpu: adapter").found).toContain("run 'proxima gpu install webgpu'");
  expect(of("tensorflow: NVIDIA driver")).toMatchObject({ ok: false, fix: expect.stringContaining("--gpus all") });
  expect(of("tensorflow: addon")).toMatchObject({ ok: false, found: "none" });
  expect(of("tensorflow: full precision").ok).toBe(true);
});

test("gpu build-addon refuses a folder without TensorFlow, and says which it wants", async () => {
  const { code, err } = await onABareMachine("gpu", "build-addon", "--tensorflow", tmpdir());
  expect(code).not.toBe(0);
  expect(err).toContain("expected libtensorflow_cc.so.2 in it, found none");
});

test("a learner asked for a device whose packages are missing ends before it plays, and says what to run", async () => {
  const folder = mkdtempSync(join(tmpdir(), "proxima-gpu-run-"));
  const cache = mkdtempSync(join(tmpdir(), "proxima-gpu-"));
  try {
    const child = Bun.spawn(
      [process.execPath, proxima, "dev", "--env", "cartpole", "--device", "webgpu", "--nats", "memory"],
      {
        cwd: folder,
        env: { ...process.env, PROXIMA_CACHE: cache },
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const err = await new Response(child.stderr).text();
    expect(await child.exited).toBe(1);
    expect(err).toContain("needs @tensorflow/tfjs-core 4.22.0, found none: run 'proxima gpu install webgpu'");
  } finally {
    for (const each of [folder, cache]) rmSync(each, { recursive: true, force: true });
  }
});
