/**
 * Steps per second of WebShop on one core, and how long searches take.
 *
 *   bun bench/webshop.ts                        the small catalogue, found as the environment finds it
 *   bun bench/webshop.ts --products 1180000     a catalogue of that size, made by repeating the small one
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { resolveArguments } from "../envs/arguments.ts";
import { Random } from "../envs/random.ts";
import { openCatalogue } from "../envs/webshop/catalogue.ts";
import { findDataFiles } from "../envs/webshop/data-files.ts";
import { Goals } from "../envs/webshop/goals.ts";
import { searchCandidates } from "../envs/webshop/search-candidates.ts";
import webshop from "../envs/webshop/webshop.ts";

const { values } = parseArgs({
  options: {
    products: { type: "string" },
    data: { type: "string", default: "" },
    seconds: { type: "string", default: "3" },
  },
});
const durationMs = Number(values.seconds) * 1000;

if (values.products === undefined) await playSmall();
else searchLarge(Number(values.products));

/** Random admissible actions, as an actor without a policy would play; the observation and the admissible list are always made. */
async function playSmall(): Promise<void> {
  for (const observation of ["text", "text_rich"]) {
    const source = await webshop.load(resolveArguments(webshop, { data: values.data, observation }));
    const env = source.create();
    const tasks = source.tasks("train");
    const random = new Random(1);
    let [envSteps, episodes, characters] = [0, 0, 0];
    const play = async (untilMs: number) => {
      while (performance.now() < untilMs) {
        let turn = await env.reset({ task: tasks.at(random.below(tasks.size)), seed: episodes++ });
        for (;;) {
          const next = await env.step(random.pick(turn.admissible as string[]));
          envSteps++;
          characters += next.observation.length as number;
          if (next.terminated || next.truncated) break;
          turn = next;
        }
      }
    };
    await play(performance.now() + durationMs / 3); // warm
    [envSteps, characters] = [0, 0];
    const before = process.cpuUsage();
    await play(performance.now() + durationMs);
    const { user, system } = process.cpuUsage(before);
    const seconds = (user + system) / 1e6; // of the processor: other programs may be running
    console.log(
      `${observation}: ${Math.round(envSteps / seconds)} steps per second of processor time, ${Math.round(characters / envSteps)} characters a page`,
    );
  }
}

/** Searches that no earlier one prepared: candidates of different goals, half of them the whole instruction with its options. */
function searchLarge(products: number): void {
  const folder = mkdtempSync(join(tmpdir(), "proxima-bench-webshop-"));
  try {
    const small = findDataFiles(values.data, "small");
    const files = { ...small, items: join(folder, "items.json") };
    repeat(small.items, files.items, products);
    console.log(`${products} products, ${(statSync(files.items).size / 1e9).toFixed(2)} GB of JSON`);
    let startedAt = performance.now();
    openCatalogue(files, 0, 233, folder);
    console.log(
      `built in ${((performance.now() - startedAt) / 1000).toFixed(0)} s, peak ${megabytes(process.resourceUsage().maxRSS * 1024)}`,
    );
    Bun.gc(true);
    startedAt = performance.now();
    const catalogue = openCatalogue(files, 0, 233, folder);
    console.log(`opened in ${(performance.now() - startedAt).toFixed(0)} ms`);
    const { bytes } = catalogue.index;
    console.log(
      `index: ${megabytes(bytes.held)} held by each process, ${megabytes(bytes.postings)} of postings in mapped pages that all share`,
    );
    const random = new Random(1);
    const goals = new Goals(catalogue, "synthetic");
    const times: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const queries = searchCandidates(goals.at(random.below(goals.size)).instruction);
      const query = i % 2 === 0 ? queries[0] : random.pick(queries);
      const start = process.cpuUsage();
      catalogue.index.search(query, 50);
      const { user, system } = process.cpuUsage(start);
      times.push((user + system) / 1000);
    }
    times.sort((a, b) => a - b);
    const at = (share: number) => times[Math.floor(share * times.length)].toFixed(2);
    console.log(
      `search: median ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, longest ${times[times.length - 1].toFixed(1)} ms`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Copies with asins of their own. Each leaves out every eighth word of the texts, another eighth each time, so that scores and
 * lengths vary as they do among real products.
 */
function repeat(source: string, target: string, products: number): void {
  const originals = JSON.parse(readFileSync(source, "utf8")) as Record<string, unknown>[];
  const file = openSync(target, "w");
  writeSync(file, "[");
  let batch: string[] = [];
  for (let i = 0; i < products; i++) {
    const product = originals[i % originals.length];
    const round = Math.floor(i / originals.length);
    const thin = (text: unknown) =>
      String(text)
        .split(" ")
        .filter((_, w) => (w * 2654435761 + round * 40503) % 8 !== 0)
        .join(" ");
    const copy =
      round === 0
        ? product
        : { ...product, name: thin(product.name), full_description: thin(product.full_description) };
    const asin = round === 0 ? product.asin : `R${i.toString(36).padStart(9, "0")}`;
    batch.push(JSON.stringify({ ...copy, asin }));
    if (batch.length === 1000 || i === products - 1) {
      writeSync(file, `${i < 1000 ? "" : ","}${batch.join(",")}`);
      batch = [];
    }
  }
  writeSync(file, "]");
  closeSync(file);
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
