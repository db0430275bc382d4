/// <reference lib="dom" />
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import puppeteer from "puppeteer-core";
import { ActorSystem } from "../../actors/system/index.ts";
import { Counter } from "../../actors/system/testing/counter.ts";
import { connectNats } from "../../proto/bus/index.ts";
import { keepNotice } from "../notices.ts";
import { renderReport } from "../report/report.ts";
import { figuresOf } from "../report/run-figures.ts";
import { readRunFolder } from "../run-folder.ts";
import { testingBroker } from "../testing-broker.ts";
import { TestingProcess } from "../testing-process.ts";
import { serveUi, type Ui } from "./server.ts";
import { chromium, longRun, testingLearner, trainedRun } from "./testing.ts";
import { WatchedRun } from "./watched-run.ts";
import { WatchedRuns } from "./watched-runs.ts";

setDefaultTimeout(120_000); // for machines that do much else at the same time

const program = chromium("page.test.ts");
const axe = readFileSync(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");
const broker = program === undefined ? undefined : await testingBroker();
const views = ["progress", "time", "actors", "ledger", "credit", "settings"];
const desktop = { width: 1280, height: 860 };
const phone = { width: 390, height: 844, isMobile: true, hasTouch: true };

describe.skipIf(program === undefined)("the page in Chromium", () => {
  const root = mkdtempSync(join(tmpdir(), "proxima-page-"));
  const problems: string[] = [];
  let ui: Ui;
  let browser: Browser;
  let learner: Awaited<ReturnType<typeof testingLearner>>;

  beforeAll(async () => {
    const long = longRun(root, "long", 10_000, broker && { nats: broker.url });
    // Generation 1 is tried from iteration 50 on, and plays everything from 100 on.
    longRun(root, "swapped", 200, {}, (iteration) => ({
      ...(iteration < 100 && { "generation/0/return": 5, "generation/0/success": 0.5 }),
      ...(iteration >= 50 && { "generation/1/return": 7 + iteration / 100, "generation/1/success": 0.75 }),
    }));
    longRun(root, "other", 3000, { estimator: "grpo" });
    await trainedRun(root, "words");
    keepNotice({ notices: join(long, "notices.jsonl") }, "Iteration 7 waits for <b>3</b> episodes.");
    learner = await testingLearner(long, 1000);
    ui = await serveUi(WatchedRuns.ofFolder(root, ["long", "other"]), { port: 0 });
    const offline = [
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ];
    browser = await puppeteer.launch({
      executablePath: program,
      args: ["--no-sandbox", "--disable-gpu", ...offline],
      userDataDir: join(root, "chromium"),
    });
  });

  afterAll(async () => {
    await browser?.close();
    await ui?.close();
    await broker?.stop();
    await learner?.close();
    rmSync(root, { recursive: true, force: true });
  });

  async function open(hash: string, { viewport = desktop as object, scheme = "light" } = {}): Promise<Page> {
    const page = await browser.newPage();
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) problems.push(message.text());
    });
    page.on("pageerror", (error) => problems.push(String(error)));
    await page.setViewport(viewport as typeof desktop);
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.goto(`${ui.url}#${hash}`);
    await page.waitForSelector("main h1");
    return page;
  }

  const text = (page: Page, selector: string) => page.$eval(selector, (element) => element.textContent ?? "");
  const until = (page: Page, selector: string, part: string) =>
    page.waitForFunction((s, p) => document.querySelector(s)?.textContent?.includes(p), {}, selector, part);

  /** What axe finds wrong, in its words. */
  const brokenRules = (page: Page): Promise<string[]> =>
    page.evaluate(async () => {
      // biome-ignore lint/suspicious/noExplicitAny: axe was put there before
      const { violations } = await (globalThis as any).axe.run(document, { resultTypes: ["violations"] });
      // biome-ignore lint/suspicious/noExplicitAny: axe's own
      return violations.map((v: any) => `${v.id}: ${v.nodes[0].html} ${v.nodes[0].failureSummary}`);
    });

  test("overlays the curves of runs of 10,000 iterations and tells what their learner says", async () => {
    const page = await open("/progress");
    await page.waitForSelector(".chart canvas");
    expect(await text(page, "h1")).toBe("long");
    expect(await page.$$eval(".chart:first-child .legend li", (items) => items.map((i) => i.textContent))).toEqual([
      expect.stringMatching(/^long0\.\d+$/),
      expect.stringMatching(/^other0\.\d+$/),
    ]);
    // Ink of both runs is on the canvas: the chart is more than its frame.
    const colours = await page.$eval(".chart canvas", (element) => {
      const canvas = element as HTMLCanvasElement;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Set<string>();
      for (let i = 0; i < data.length; i += 4) seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
      return [...seen];
    });
    expect(colours).toContain("29,95,196");
    expect(colours).toContain("201,72,13");
    expect(await text(page, ".phase")).toBe("collecting episodes");
    expect(await text(page, ".now")).toBe("Iteration 40 has waited 62 s for 24 episodes. Start another actor.");
    expect(await text(page, ".notices")).toContain("waits for <b>3</b> episodes");
    await page.type("input[list=metrics]", "number2");
    await until(page, ".charts", "credit/number26");
    expect((await page.$$(".chart")).length).toBe(8); // number2 and number20 to 26
    await page.close();
  });

  test("draws a line for each generation of the environment", async () => {
    const page = await open("/progress?run=swapped");
    const chart = "[aria-label^='Return by generation']";
    await page.waitForSelector(`${chart} canvas`);
    expect(await page.$$eval(`${chart} .legend li`, (items) => items.map((item) => item.textContent))).toEqual([
      "generation 05",
      "generation 18.990",
    ]);
    expect((await page.$$("[aria-label*='by generation']")).length).toBe(2); // what it has no metrics of is not drawn
    await page.close();
  });

  test.skipIf(!broker)(
    "shows the nodes of the run's broker: what they offer, their labels and their actors",
    async () => {
      const names = ["--name", "machine-1", "--labels", "zone=a", "--cpus", "3"];
      const node = new TestingProcess(["node", "--nats", broker!.url, ...names], import.meta.dirname);
      const bus = await connectNats({ servers: broker!.url });
      const system = new ActorSystem(bus);
      try {
        const counter = await system.spawn(Counter, { start: 1 }, { name: "visits", cpus: 2, labels: { zone: "a" } });
        await counter.ready();
        await system.spawn(Counter, { start: 1 }, { name: "too-large", cpus: 64 });
        const page = await open("/actors?run=long");
        await page.waitForSelector("[aria-labelledby=directory] tbody tr");
        await until(page, "[aria-labelledby=directory] tbody tr", "2 of 3");
        const row = await text(page, "[aria-labelledby=directory] tbody tr");
        expect(row).toContain("machine-1");
        expect(row).toContain("zone=a");
        expect(row).toContain("1 actor");
        await page.click("[aria-labelledby=directory] summary");
        expect(await text(page, "[aria-labelledby=directory] details[open] li")).toContain("visits counter, running");
        expect(await page.$$eval(".held", (lists) => lists.at(-1)!.textContent)).toContain(
          "too-large counter, pending",
        );
        await page.evaluate(axe);
        expect(await brokenRules(page)).toEqual([]);
        await page.close();
      } finally {
        await Promise.all(["visits", "too-large"].map((name) => system.kill(name)));
        await system.close();
        await bus.close();
        await node.kill("SIGTERM");
      }
    },
  );

  test("shows a thousand actors and how far behind they are", async () => {
    const page = await open("/actors");
    await page.waitForSelector("tbody tr");
    expect((await page.$$("[aria-labelledby=actors] tbody tr")).length).toBe(100);
    expect((await page.$$("[aria-labelledby=nodes] tbody tr")).length).toBe(20);
    expect(await text(page, ".bars")).toContain("0 334");
    await page.type("main input[type=search]", "actor-777");
    await page.waitForFunction(() => document.querySelectorAll("[aria-labelledby=actors] tbody tr").length === 1);
    expect(await text(page, "[aria-labelledby=actors] tbody tr")).toContain("10.0.0.17");
    await page.click(".swap button");
    await page.type("dialog[open] [name=options]", "difficulty=2");
    await page.click("dialog[open] .main");
    await until(page, ".swap", "Generation 3 is assigned");
    expect(learner.asked.splice(0)).toEqual(['swap scavenger {"difficulty":2}']);
    await page.close();
  });

  test("leads from an iteration to a group, an episode, a step and its neighbours, side by side for two estimators", async () => {
    const page = await open("/credit?run=words");
    await page.waitForSelector(".pick tbody tr");
    await page.select("form label:nth-of-type(2) select", "gigpo");
    await until(page, ".lead", "Against gigpo: correlation");
    const best = await page.$$eval(".pick tbody tr", (rows) =>
      rows.map((row) => Number(row.lastElementChild!.textContent)).reduce((b, v, i, all) => (v > all[b]! ? i : b), 0),
    );
    await page.click(`.pick tbody tr:nth-child(${best + 1}) button`);
    await page.waitForSelector(".members button");
    await page.click(".members li:nth-child(2) button");
    await page.waitForSelector(".step");
    const advantages = await page.$$eval(".step:first-child .advantage", (cells) => cells.map((c) => c.textContent));
    expect(advantages.slice(0, 2)).toEqual([
      expect.stringMatching(/^advantage by proxmo [+−]\d\.\d{3}$/),
      expect.stringMatching(/^advantage by gigpo [+−]\d\.\d{3}$/),
    ]);
    await page.click(".transcript li:nth-child(1) .step");
    await page.waitForSelector(".account:nth-child(2)");
    expect(await page.$$eval(".account h4", (all) => all.map((each) => each.textContent))).toEqual([
      `proxmo: ${advantages[0]!.split(" ").at(-1)}`,
      `gigpo: ${advantages[1]!.split(" ").at(-1)}`,
    ]);
    expect(await text(page, ".account")).toMatch(/Episode term.*= w .*Step term.*baseline.*Neighbours/s);
    const [name] = await page.$$eval(".account .link", (links) => links.map((link) => link.textContent!));
    const [, member, step] = /episode (\d+), step (\d+)/.exec(name!)!;
    await page.click(".account .link");
    await until(page, ".transcript h3", `Episode ${member}:`);
    await until(page, ".transcript li.chosen .count", step!);
    expect(page.url()).toContain(`member=${member}`); // so that the address can be sent to somebody
    await page.close();
  });

  test("is used by keyboard alone: skip to the content, read a chart, pause and resume", async () => {
    const page = await open("/progress");
    await page.waitForSelector(".chart canvas");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Skip to Progress");
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Pause …");
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog[open]");
    await page.keyboard.type("the machine is needed");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await until(page, ".phase", "paused: the machine is needed");
    await until(page, ".said", "Pauses after iteration 40.");
    await page.focus(".actions button");
    await page.keyboard.press("Enter");
    await until(page, ".phase", "collecting");
    expect(learner.asked.splice(0)).toEqual(["pause the machine is needed", "resume"]);
    await page.focus(".chart");
    const newest = await text(page, ".chart .legend strong");
    for (const key of ["Home", "ArrowRight"]) await page.keyboard.press(key as "Home");
    await until(page, ".chart .at", "k");
    expect(await text(page, ".chart .legend strong")).not.toBe(newest);
    await page.keyboard.press("+");
    await page.waitForFunction(() =>
      [...document.querySelectorAll("button")].some((b) => b.textContent === "Show all"),
    );
    await page.keyboard.press("Escape");
    await page.waitForFunction(
      () => ![...document.querySelectorAll("button")].some((b) => b.textContent === "Show all"),
    );
    await page.close();
  });

  for (const { scheme, device, viewport } of [
    { scheme: "light", device: "desktop", viewport: desktop },
    { scheme: "dark", device: "phone", viewport: phone },
  ])
    test(`breaks no rule of accessibility in any view, ${scheme} on a ${device}, and needs no scrolling sideways`, async () => {
      const page = await open("/progress", { scheme, viewport });
      await page.evaluate(axe);
      for (const view of views) {
        const choice = view === "credit" ? "run=words&group=1&member=1&step=1&with=rloo" : "run=long&runs=other";
        await page.evaluate((hash) => {
          location.hash = hash;
        }, `/${view}?${choice}`);
        const sign = {
          progress: ".chart canvas",
          time: ".chart canvas",
          actors: ".bars",
          credit: ".account:nth-child(2)",
        };
        await page.waitForSelector(`nav a[href^="#/${view}"][aria-current=page]`);
        await page.waitForSelector((sign as Record<string, string>)[view] ?? "main table");
        expect(await brokenRules(page), view).toEqual([]);
        const [needed, there] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        expect(needed, view).toBeLessThanOrEqual(there!);
      }
      const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      expect(paper).toBe(scheme === "light" ? "rgb(247, 248, 249)" : "rgb(15, 18, 22)");
      await page.close();
    });

  test("shows a report that breaks none of them either", async () => {
    const runs = ["long", "other", "words"].map((name) => figuresOf(new WatchedRun(readRunFolder(root, name))));
    const page = await browser.newPage();
    await page.setContent(renderReport((await Promise.all(runs)).map((run) => run!)));
    await page.evaluate(axe);
    expect(await brokenRules(page)).toEqual([]);
    await page.close();
  });

  test("ran without an error or a refused script", () => {
    expect(problems).toEqual([]);
  });
});
