import { beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { createRunFolder, readRunFolder, resumeRunFolder, runNames, storeConfig } from "./run-folder.ts";

let root: string;
beforeEach(() => {
  root = join(mkdtempSync(join(tmpdir(), "runs-")), "runs");
});

describe("createRunFolder()", () => {
  test("never reuses a name: says how to go on or to begin anew", () => {
    createRunFolder(root, { name: "a", env: "cartpole" }).release();
    expect(() => createRunFolder(root, { name: "a", env: "cartpole" })).toThrow(/exists already.*--resume.*--run/);
  });

  test("numbers runs without a name, after the highest there is", () => {
    mkdirSync(join(root, "cartpole-7"), { recursive: true });
    mkdirSync(join(root, "cartpole-x"));
    expect(createRunFolder(root, { name: "", env: "cartpole" }).name).toBe("cartpole-8");
    expect(createRunFolder(root, { name: "", env: "cartpole" }).name).toBe("cartpole-9");
    expect(createRunFolder(root, { name: "", env: "./my env!/Grid World.ts" }).name).toBe("Grid-World-1");
  });
});

describe("a run's folder", () => {
  test("is written to by one learner at a time", () => {
    const first = createRunFolder(root, { name: "a", env: "cartpole" });
    storeConfig(first, "x = 1\n");
    expect(() => resumeRunFolder(root, "a")).toThrow(`is being trained by process ${process.pid} on ${hostname()}`);
    first.release();
    resumeRunFolder(root, "a").release();
  });

  test("is free again when the learner that held it has died", () => {
    const first = createRunFolder(root, { name: "a", env: "cartpole" });
    storeConfig(first, "x = 1\n");
    const { pid } = Bun.spawnSync(["true"]);
    writeFileSync(join(first.path, "learner.lock"), `${hostname()} ${pid}`);
    resumeRunFolder(root, "a").release();
    writeFileSync(join(first.path, "learner.lock"), `another-host ${pid}`);
    expect(() => resumeRunFolder(root, "a")).toThrow("another-host");
  });

  test("is free again when the learner that held it died before it had written its name", () => {
    const first = createRunFolder(root, { name: "a", env: "cartpole" });
    storeConfig(first, "x = 1\n");
    const lock = join(first.path, "learner.lock");
    writeFileSync(lock, "");
    expect(() => resumeRunFolder(root, "a")).toThrow("is being trained"); // perhaps it is just about to
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(lock, longAgo, longAgo);
    resumeRunFolder(root, "a").release();
  });

  test("keeps an earlier configuration beside the new one", () => {
    const folder = createRunFolder(root, { name: "a", env: "cartpole" });
    storeConfig(folder, "x = 1\n");
    storeConfig(folder, "x = 1\n");
    storeConfig(folder, "x = 2\n");
    expect(readdirSync(folder.path).filter((name) => name.endsWith(".toml"))).toEqual(["config.1.toml", "config.toml"]);
    expect(readFileSync(folder.config, "utf8")).toBe("x = 2\n");
  });

  test("is found by name, and the nearest is suggested", () => {
    storeConfig(createRunFolder(root, { name: "walk-1", env: "cartpole" }), "");
    mkdirSync(join(root, "not-a-run"));
    expect(runNames(root)).toEqual(["walk-1"]);
    expect(existsSync(readRunFolder(root, "walk-1").checkpoints)).toBe(true);
    expect(() => readRunFolder(root, "walk-2")).toThrow("did you mean 'walk-1'?");
    expect(() => readRunFolder(join(root, "none"), "a")).toThrow("there is no run in");
  });
});
