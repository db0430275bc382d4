import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pythonWith } from "../../proto/testing/python.ts";
import { runCommandLine } from "../command-line.ts";
import { keepNotice } from "../notices.ts";
import { serveUi, type Ui } from "./server.ts";
import { longRun, metricsLine, testingLearner, trainedRun } from "./testing.ts";
import { WatchedRuns } from "./watched-runs.ts";

const root = mkdtempSync(join(tmpdir(), "proxima-ui-"));
let ui: Ui;
let learner: Awaited<ReturnType<typeof testingLearner>>;
let token: string;

beforeAll(async () => {
  const long = longRun(root, "long", 10_000);
  longRun(root, "short", 20, { estimator: "grpo" });
  await trainedRun(root, "words");
  keepNotice({ notices: join(long, "notices.jsonl") }, "Iteration 7 waits for 3 episodes of 1 groups.");
  learner = await testingLearner(long, 1000);
  ui = await serveUi(WatchedRuns.ofFolder(root, ["long"]), { port: 0, allowedHosts: ["train.example"] });
  token = /name="proxima-token" content="([^"]+)"/.exec(await (await fetch(ui.url)).text())![1]!;
}, 60_000);

afterAll(async () => {
  await ui.close();
  await learner.close();
  rmSync(root, { recursive: true, force: true });
});

async function get(path: string) {
  const response = await fetch(`${ui.url}${path}`);
  // biome-ignore lint/suspicious/noExplicitAny: what comes is what the test is about
  return { status: response.status, answer: (await response.json()) as any };
}

/** With any headers, which `fetch` would not send. */
function ask(path: string, options: { method?: string; headers?: Record<string, string>; body?: string }) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const { method = "GET", headers = {}, body } = options;
    const sent = request(new URL(path, ui.url), { method, headers }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode!, text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const steer = (body: string, changes: Record<string, string> = {}) =>
  ask("/api/control", {
    method: "POST",
    headers: { "content-type": "application/json", "x-proxima-token": token, ...changes },
    body,
  });

describe("what is known of runs", () => {
  test("is told from their folders, and from the learner of one that is alive", async () => {
    const { answer } = await get("api/runs");
    expect(answer.shown).toEqual(["long"]);
    expect(answer.runs).toMatchObject([
      { name: "long", iterations: 10_000, envSteps: 12_800_000, live: true, how: "proxmo · candidates · sync" },
      { name: "short", iterations: 20, live: false, how: "grpo · candidates · sync" },
      { name: "words", iterations: 3 },
    ]);
    expect((await get("api/run?run=long")).answer).toMatchObject({
      config: { estimator: "proxmo", env: "scavenger" },
      ledger: {
        started: 128 * 10_001,
        dropped: 128,
        reasons: [
          ["noSignal", 120],
          ["malformed", 8],
        ],
      },
      time: {
        iterations: 100,
        sections: [
          { name: "wait", share: 0.7 },
          { name: "update", share: 0.3 },
        ],
      },
      notices: [{ message: "Iteration 7 waits for 3 episodes of 1 groups." }],
      status: { phase: "collecting", actors: { count: 1000, maxLag: 2 }, weights: { counter: 41 } },
    });
    const { actors } = (await get("api/actors?run=long")).answer;
    expect(actors.length).toBe(1000);
    expect(actors[0]).toMatchObject({ lag: 2, held: 39, node: expect.stringMatching(/^10\.0\.0\.\d+$/) });
    expect((await get("api/run?run=short")).answer.status).toBeUndefined();
  });

  test("says where the time goes in words", async () => {
    expect((await get("api/run?run=long")).answer.time.inWords).toBe(
      "Of the learner's time, waiting for episodes takes 70 % and update takes 30 %. The actors are the bottleneck: more of them, or on faster machines, would speed it up; with --mode async it would train meanwhile, on slightly older episodes.",
    );
  });

  test("as curves is bounded however long a run is, and loses no spike", async () => {
    const query =
      "run=long&run=short&metric=credit/number3&metric=episode/success&buckets=100&smooth=50&axis=iteration";
    const { runs } = (await get(`api/series?${query}`)).answer;
    const [long, short] = runs;
    expect(long.metrics["credit/number3"].x.length).toBeLessThanOrEqual(200);
    const exact = Array.from({ length: 10_000 }, (_, i) => Math.cos(3 * i));
    expect(Math.max(...long.metrics["credit/number3"].y)).toBeCloseTo(Math.max(...exact), 5);
    expect(Math.min(...long.metrics["credit/number3"].y)).toBeCloseTo(Math.min(...exact), 5);
    expect(short.metrics["credit/number3"].x).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(long.metrics["episode/success"].smooth.length).toBe(long.metrics["episode/success"].y.length);
    const near = (await get(`api/series?${query}&from=5000&to=5050`)).answer.runs[0].metrics["credit/number3"];
    expect(near.x).toEqual(Array.from({ length: 52 }, (_, i) => 4999 + i));
  });

  test("keeps up with a run that grows, and with one that is cut off and trained again", async () => {
    const path = join(root, "short/metrics.jsonl");
    const read = async () =>
      (await get("api/series?run=short&metric=episode/return&axis=iteration")).answer.runs[0].metrics["episode/return"];
    const line = metricsLine(20, { "episode/return": 7 });
    appendFileSync(path, line.slice(0, 50));
    expect((await read()).x.at(-1)).toBe(19);
    appendFileSync(path, line.slice(50));
    expect(await read()).toMatchObject({ x: expect.arrayContaining([20]) });
    const whole = readFileSync(path, "utf8").split("\n");
    truncateSync(path, whole.slice(0, 11).join("\n").length + 1);
    for (let i = 11; i < 25; i++) appendFileSync(path, metricsLine(i, { "episode/return": -1 }));
    const again = await read();
    expect(again.x).toEqual(Array.from({ length: 25 }, (_, i) => i));
    expect(again.y.slice(11).every((value: number) => value === -1)).toBe(true);
  });

  test("about credit is what 'proxima replay' says, side by side with another estimator", async () => {
    const base = "api/credit?run=words&iteration=2&estimator=gigpo&options=omega%3D0.5";
    const overview = (await get(base)).answer;
    expect(overview).toMatchObject({ labels: ["proxmo", "gigpo (omega 0.5)"], recomputedWithin: 0 });
    const { group, member, step, advantage } = overview.groups.toSorted(
      (a: { meanAbsAdvantage: number }, b: { meanAbsAdvantage: number }) => b.meanAbsAdvantage - a.meanAbsAdvantage,
    )[0].strongest;
    const { members } = (await get(`${base}&group=${group}`)).answer;
    expect(members.length).toBe(6);
    const episode = (await get(`${base}&group=${group}&member=${member}`)).answer;
    expect(episode.steps[step].advantages[0]).toBe(advantage);
    const { accounts } = (await get(`${base}&group=${group}&member=${member}&step=${step}`)).answer;
    expect(accounts).toMatchObject([
      { type: "proxmo", stepTerm: { neighbours: expect.anything() } },
      { type: "gigpo" },
    ]);
    for (const [query, reason] of [
      ["run=words&iteration=99", "there are 0–2"],
      ["run=words&iteration=2&estimator=gae", "it needs a critic"],
      ["run=words&iteration=2&estimator=toString", "there is no estimator 'toString'"],
      ["run=words&iteration=2&estimator=gigpo&options=omega", "options are written name=value"],
      ["run=words&iteration=2&group=77", "has no group 77"],
      ["run=words&iteration=-1", "must be a whole number"],
    ])
      expect(await get(`api/credit?${query}`)).toMatchObject({
        status: 400,
        answer: { error: expect.stringContaining(reason!) },
      });
  });
});

describe("a stranger", () => {
  test("cannot name a folder that is no run, or a file that is no part of the page", async () => {
    for (const name of ["..", "../long", "%2e%2e%2flong", "long/checkpoints", "", "/etc", "__proto__"])
      expect((await get(`api/run?run=${name}`)).status).toBe(404);
    for (const path of ["/../package.json", "/%2e%2e/server.ts", "/page/app.js", "/index.html", "/api/nothing"])
      expect((await ask(path, {})).status).toBe(404);
    expect((await get("api/series?run=long&metric=x&buckets=1e9")).status).toBe(400);
    expect((await get(`api/series?${"run=long&".repeat(17)}metric=x`)).status).toBe(400);
  });

  test("cannot reach the page under another name, unless a proxy is allowed to", async () => {
    for (const host of ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "2130706433"]) {
      const { status, text } = await ask("/api/runs", { headers: { host } });
      expect(status, text).toBeOneOf([400, 403]);
      expect(text).not.toContain("proxmo");
    }
    expect((await ask("/api/runs", { headers: { host: "train.example" } })).status).toBe(200);
    expect(
      (await ask("/api/runs", { headers: { host: new URL(ui.url).host.replace("127.0.0.1", "localhost") } })).status,
    ).toBe(200);
  });

  test("cannot steer a run: it takes this page's origin, its token and POST", async () => {
    const pause = JSON.stringify({ run: "long", action: "pause", reason: "mischief" });
    const refused = [
      steer(pause, { "x-proxima-token": "" }),
      steer(pause, { "x-proxima-token": `${token}x` }),
      steer(pause, { origin: "https://evil.example" }),
      steer(pause, { origin: "null" }),
      steer(pause, { "sec-fetch-site": "cross-site" }),
      ask("/api/control", { headers: { "x-proxima-token": token } }),
      steer(pause, { "content-type": "text/plain" }),
      steer(" ".repeat(5000)),
      steer("{"),
      steer(JSON.stringify({ run: "long", action: "explode" })),
      steer(JSON.stringify({ run: "../long", action: "pause" })),
      steer(JSON.stringify({ run: "short", action: "pause" })),
      steer("null"),
    ];
    expect((await Promise.all(refused)).map(({ status }) => status)).toEqual([
      403, 403, 403, 403, 403, 405, 415, 413, 400, 400, 404, 400, 404,
    ]);
    expect(learner.asked).toEqual([]);
  });

  test("gets a page that runs scripts from here alone", async () => {
    const { headers } = await fetch(ui.url);
    expect(headers.get("content-security-policy")).toMatch(
      /default-src 'none'; script-src 'self' 'sha256-[^']+'; style-src 'self'/,
    );
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  });
});

test("whoever has the page can pause, resume and checkpoint a run that is alive", async () => {
  const origin = ui.url.slice(0, -1);
  const act = (action: string) => steer(JSON.stringify({ run: "long", action, reason: "lunch" }), { origin });
  expect(JSON.parse((await act("pause")).text)).toEqual({ iteration: 40 });
  expect((await get("api/run?run=long")).answer.status).toMatchObject({ phase: "paused", pausedReason: "lunch" });
  expect(JSON.parse((await act("checkpoint")).text)).toEqual({ path: "runs/long/checkpoints/41", iteration: 41 });
  expect((await act("resume")).status).toBe(200);
  expect(learner.asked.splice(0)).toEqual(["pause lunch", "checkpoint", "resume"]);
});

test("whoever has the page can assign another environment, unless somebody else did so first", async () => {
  const swap = { environment: "scavenger", bundle: "", options: "difficulty=2 hints=false", canaryShare: 0.1 };
  const act = (more: object) => steer(JSON.stringify({ run: "long", action: "swap", swap: { ...swap, ...more } }));
  expect(JSON.parse((await act({ expectedGeneration: 2 })).text)).toEqual({ generation: 3 });
  expect(learner.asked.splice(0)).toEqual(['swap scavenger {"difficulty":2,"hints":false}']);
  expect(await act({ expectedGeneration: 2 })).toMatchObject({
    status: 502,
    text: expect.stringContaining("generation 3"),
  });
  for (const wrong of [{}, { expectedGeneration: 3, options: "difficulty" }, { expectedGeneration: 3, bundle: 7 }])
    expect((await act(wrong)).status).toBe(400);
  expect(await act({ expectedGeneration: 3, canaryShare: 2 })).toMatchObject({
    text: expect.stringContaining("canary share must be above 0 and at most 1"),
  });
  expect(learner.asked).toEqual([]);
});

const python = pythonWith("prometheus_client", "Prometheus' own parser of its text format");
const parse = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families as families
print(json.dumps([{"name": f.name, "type": f.type, "help": f.documentation, "samples": [[s.name, s.labels, s.value] for s in f.samples]} for f in families(sys.stdin.read())]))
`;

describe("/metrics", () => {
  test("names and units follow Prometheus' guidelines, and each run has its own", async () => {
    const text = await (await fetch(`${ui.url}metrics`)).text();
    expect(text).toContain('proxima_env_steps_total{run="long"} 12800000');
    expect(text).toContain('proxima_learner_seconds_total{run="long",section="wait"} 700');
    expect(text).toContain('proxima_iteration_duration_seconds_sum{run="long"} 1000');
    expect(text).toContain('proxima_episodes_dropped_total{run="long",reason="noSignal"} 120');
    expect(text).toContain('proxima_actors{run="long"} 1000');
    expect(text).toContain('proxima_learner_up{run="short"} 0');
    const glossary = readFileSync(join(import.meta.dirname, "../../docs/watching.md"), "utf8");
    for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      expect(name).toMatch(/^proxima_[a-z_]+$/);
      expect(name!.endsWith("_total"), name).toBe(type === "counter");
      expect(glossary.includes(`\`${name}\``), `docs/watching.md tells of ${name}`).toBe(true);
      expect(name).not.toMatch(/_ms|_milli|Ms$/);
    }
  });

  test.skipIf(!python)("is read by Prometheus' own parser, awkward reasons included", async () => {
    const reason = 'noResult: "quoted"\\ and\nbroken';
    appendFileSync(join(root, "short/metrics.jsonl"), metricsLine(25, { [`dropped/${reason}`]: 2 }));
    const text = await (await fetch(`${ui.url}metrics`)).text();
    const { stdout, stderr, status } = spawnSync(python!, ["-c", parse], { input: text, encoding: "utf8" });
    expect(status, stderr).toBe(0);
    const families: { name: string; type: string; help: string; samples: [string, object, number][] }[] =
      JSON.parse(stdout);
    expect(families.every(({ type, help }) => type !== "unknown" && help !== "")).toBe(true);
    const dropped = families.find(({ name }) => name === "proxima_episodes_dropped")!;
    expect(dropped.samples).toContainEqual(["proxima_episodes_dropped_total", { run: "short", reason }, 2]);
  });

  test("has every metric that the Grafana dashboard asks for", async () => {
    const text = await (await fetch(`${ui.url}metrics`)).text();
    const dashboard = JSON.parse(readFileSync(join(import.meta.dirname, "../grafana/proxima.json"), "utf8"));
    const asked = JSON.stringify(dashboard).match(/proxima_[a-z_]+/g)!;
    expect(asked.length).toBeGreaterThan(10);
    const absent = new Set(asked.filter((name) => !text.includes(`\n${name}{`) && name !== "proxima_build_info"));
    // A run of words has no critic; everything else is there.
    expect([...absent].filter((name) => !/explained_variance/.test(name))).toEqual([]);
  });
});

test("'proxima ui' refuses what it cannot show, with the reason", async () => {
  const type = async (...argv: string[]) => {
    const err: string[] = [];
    const streams = { out: () => {}, err: (line: string) => void err.push(line) };
    return { code: await runCommandLine(["ui", ...argv], streams, new AbortController().signal), err: err.join("") };
  };
  expect(await type(join(root, "nowhere"))).toMatchObject({
    code: 2,
    err: expect.stringContaining("expected folders of runs, such as runs/*"),
  });
  expect(await type(join(root, "long"), "--port", new URL(ui.url).port)).toMatchObject({
    code: 1,
    err: expect.stringContaining("the port is taken; choose another, or 0 for any free one"),
  });
});
