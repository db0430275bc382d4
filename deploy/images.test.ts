/**
 * What the actors' images are made of, without Docker: the RUN lines of the Dockerfile in folders that hold only what its COPY lines
 * put there, and the result started as the image would start it.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { findDeno } from "../envs/bundle/sandbox-process.ts";
import { testingBroker } from "./testing-broker.ts";
import { TestingProcess } from "./testing-process.ts";

setDefaultTimeout(90_000);

const root = resolve(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "proxima-images-"));
const dockerfile = readFileSync(join(root, "deploy/docker/actor.Dockerfile"), "utf8");
const stages = dockerfile.split(/^FROM /m).slice(1);
/** The instructions of a stage, in order. */
const stage = (name: string) =>
  stages
    .find((text) => new RegExp(`^\\S+ AS ${name}\\n`).test(text))!
    .trim()
    .split("\n");
const isRoot = process.getuid?.() === 0 && process.platform === "linux";
const offline = process.env.PROXIMA_OFFLINE === "1";
if (!isRoot || offline) console.warn("Skipping the actors' images: they need Linux, root and npm's registry.");
const broker = !isRoot || offline ? undefined : await testingBroker();

/** What .dockerignore leaves of the checkout, as far as git knows it. */
function copyCheckout(to: string): void {
  const { stdout } = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  for (const file of stdout.split("\n").filter(Boolean)) {
    if (existsSync(join(root, file))) cpSync(join(root, file), join(to, file));
  }
}

/** Runs the stage's RUN and relative COPY lines in a folder, whose parts stand for absolute paths. */
function build(name: string, workdir: string): void {
  const env = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) };
  for (const line of stage(name)) {
    const [instruction, ...words] = line.split(" ");
    if (instruction === "COPY" && words[0]!.startsWith("--from=packages")) {
      cpSync(join(folder, "packages", words[1]!.replace("/proxima/", "")), join(workdir, words[2]!), {
        recursive: true,
      });
    } else if (instruction === "COPY" && words[0] === ".") copyCheckout(workdir);
    else if (instruction === "COPY" && !words[0]!.startsWith("--from")) {
      const to = words.at(-1)!;
      for (const from of words.slice(0, -1)) {
        cpSync(join(root, from), join(workdir, to.endsWith("/") ? join(to, from) : to), { recursive: true });
      }
    } else if (instruction === "RUN") {
      const command = words.join(" ").replace(" /proxima-actor", ` ${join(folder, "proxima-actor")}`);
      const { status, stderr } = spawnSync("/bin/sh", ["-c", command], { cwd: workdir, env, encoding: "utf8" });
      expect(status, `${line}\n${stderr}`).toBe(0);
    }
  }
}

async function plays(run: string, command: readonly string[], cwd: string): Promise<void> {
  const common = ["--run", run, "--nats", broker!.url];
  const settings = ["--env", "cartpole", "--iterations", "2", "--groupsPerIteration", "8"];
  const learner = new TestingProcess(["learner", ...common, ...settings], folder);
  const [file, ...args] = command;
  const actor = spawn(file!, [...args, ...common], {
    cwd,
    env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, HOME: folder }, // where chroot lies, also for a root without these in its PATH
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [actor.stdout, actor.stderr]) stream.on("data", (text) => (said += text));
  const ended = once(actor, "close");
  try {
    const end = await Promise.race([
      learner.until(({ type }) => type === "end"),
      ended.then(() => Promise.reject(new Error(`the actor ended: ${said}`))),
    ]);
    expect(end.balance).toMatchObject({ dropped: 0, inFlight: 0 });
    actor.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  } finally {
    actor.kill("SIGKILL");
    await learner.kill();
  }
}

describe.skipIf(!broker)("the image of actors", () => {
  beforeAll(() => {
    mkdirSync(join(folder, "packages"));
    build("packages", join(folder, "packages"));
  });
  afterAll(async () => {
    await broker!.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("on Bun is one program, which plays as nobody in a root that holds the C library and nothing else", async () => {
    const program = join(folder, "program");
    cpSync(join(folder, "packages"), program, { recursive: true });
    build("program", program);
    const image = join(folder, "image");
    const { stdout } = spawnSync("ldd", [join(folder, "proxima-actor")], { encoding: "utf8" });
    const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!);
    expect(libraries.map((path) => /(ld-linux|lib(c|m|dl|pthread)\.so)/.test(path))).not.toContain(false);
    for (const path of libraries) cpSync(path, join(image, path), { dereference: true });
    cpSync(join(folder, "proxima-actor"), join(image, "proxima-actor"));
    mkdirSync(join(image, "dev"));
    for (const [name, minor] of [
      ["null", "3"],
      ["urandom", "9"],
    ] as const) {
      spawnSync("mknod", ["-m", "666", join(image, "dev", name), "c", "1", minor]);
    }
    expect(stage("bun")).toContain("USER 65532:65532");
    // Every container has these two.
    mkdirSync(join(image, "proc"));
    mkdirSync(join(image, "tmp"), { mode: 0o777 });
    const enter = 'mount -t proc proc "$0/proc" && exec chroot --userspec=65532:65532 "$0" /proxima-actor "$@"';
    await plays("image-bun", ["unshare", "--mount", "sh", "-c", enter, image], folder);
  });

  test("on Deno plays without permission to write or to start processes", async () => {
    const image = join(folder, "deno");
    mkdirSync(image);
    build("deno", image);
    const entrypoint: string[] = JSON.parse(stage("deno").at(-1)!.replace("ENTRYPOINT ", ""));
    expect(entrypoint).not.toContain("--allow-all");
    for (const permission of ["write", "run", "ffi"]) expect(entrypoint.join()).not.toContain(`--allow-${permission}`);
    const deno = (await findDeno(join(import.meta.dirname, "../node_modules/.bin/deno")))!;
    await plays("image-deno", [deno, ...entrypoint.slice(1)], image);
  });
});
