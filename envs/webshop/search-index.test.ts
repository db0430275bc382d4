import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../random.ts";
import { CatalogueFile, CatalogueWriter } from "./catalogue-file.ts";
import { IndexBuilder, type IndexFacts } from "./index-builder.ts";
import { analyze } from "./search-analyzer.ts";
import { SearchIndex } from "./search-index.ts";
import { decodeLength, encodeLength } from "./similarity.ts";
import { sayIfSkipped, smallCatalogue, smallData } from "./testing.ts";

sayIfSkipped("search-index.test.ts");

const folder = mkdtempSync(join(tmpdir(), "proxima-index-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** As on a runtime that does not map files. */
class UnmappedFile extends CatalogueFile<IndexFacts> {
  override mapped(): undefined {
    return undefined;
  }
}

function indexed(texts: readonly string[], order: Uint32Array, File = CatalogueFile<IndexFacts>): SearchIndex {
  const builder = new IndexBuilder();
  for (const text of texts) builder.add(text);
  const path = join(folder, `${Math.random()}.bin`);
  const writer = new CatalogueWriter<IndexFacts>(path);
  writer.finish(builder.write(writer as CatalogueWriter<unknown>, order));
  return new SearchIndex(new File(path));
}

/** BM25 as the textbook of Lucene 8 has it, one document at a time, in single precision. */
function literalSearch(documents: readonly string[][], query: string, hits: number): number[] {
  const f = Math.fround;
  const filled = documents.filter((terms) => terms.length > 0).length;
  const average = f(documents.reduce((sum, terms) => sum + terms.length, 0) / filled);
  const wanted = analyze(query);
  const frequencies = new Map(wanted.map((term) => [term, documents.filter((terms) => terms.includes(term)).length]));
  const scored = documents.map((terms, document) => {
    let score = 0;
    for (const term of new Set(wanted)) {
      const frequency = frequencies.get(term) as number;
      const count = terms.filter((other) => other === term).length;
      if (count === 0) continue;
      const idf = f(Math.log(1 + (filled - frequency + 0.5) / (frequency + 0.5)));
      const weight = f(wanted.filter((other) => other === term).length * idf);
      const length = decodeLength(encodeLength(terms.length));
      const norm = f(f(0.9) * f(f(1 - f(0.4)) + f(f(f(0.4) * length) / average)));
      score += f(weight - f(weight / f(1 + f(count * f(1 / norm)))));
    }
    return { document, score: f(score) };
  });
  return scored
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || a.document - b.document)
    .slice(0, hits)
    .map(({ document }) => document);
}

const random = new Random(7);
/** Few words are common and many are rare, as in any language. */
const word = () => `w${Math.floor(60 * random.uniform() ** 3)}`;
const sentence = (most: number) => Array.from({ length: random.below(most + 1) }, word).join(" ");

test("finds what a literal BM25 finds, in the same order, equal scores by number", () => {
  const texts = Array.from({ length: 200 }, () => sentence(40));
  const documents = texts.map(analyze);
  const index = indexed(texts, Uint32Array.from(texts.keys()));
  for (let i = 0; i < 60; i++) {
    const query = sentence(8);
    expect(index.search(query, 20)).toEqual(literalSearch(documents, query, 20));
  }
});

test("leaving out what cannot be among the best changes nothing, wherever the windows and the equal scores lie", () => {
  // Asking for everything forbids leaving anything out. Every text comes several times: most scores are shared.
  const different = Array.from({ length: 3000 }, () => sentence(12));
  const texts = Array.from({ length: 25_000 }, () => random.pick(different));
  const order = new Random(3).shuffle([...texts.keys()]);
  const index = indexed(texts, Uint32Array.from(order));
  for (let i = 0; i < 100; i++) {
    const query = `${sentence(6)} w${random.below(60)} w${random.below(60)}`;
    const all = index.search(query, texts.length);
    for (const hits of [1, 2, 50, 1 + random.below(500)]) expect(index.search(query, hits)).toEqual(all.slice(0, hits));
  }
});

test("more documents than a window are ranked as a literal BM25 ranks them", () => {
  // A few words in all of 20,000 documents, which the literal scorer can still go through.
  const texts = Array.from({ length: 20_000 }, () => sentence(6));
  const documents = texts.map(analyze);
  const index = indexed(texts, Uint32Array.from(texts.keys()));
  for (let i = 0; i < 8; i++) {
    const query = `${sentence(4)} w${i} w${random.below(60)}`;
    expect(index.search(query, 50)).toEqual(literalSearch(documents, query, 50));
  }
});

test("postings that are read give the same results as mapped ones", () => {
  const texts = Array.from({ length: 500 }, () => sentence(20));
  const order = Uint32Array.from(texts.keys());
  const [mapped, read] = [indexed(texts, order), indexed(texts, order, UnmappedFile)];
  for (let i = 0; i < 100; i++) {
    const query = sentence(6);
    expect(read.search(query, 50)).toEqual(mapped.search(query, 50));
  }
});

test("a query of unknown or no words finds nothing", () => {
  const index = indexed(["red shoes", "", "blue shoes"], Uint32Array.of(0, 1, 2));
  expect(index.search("the of", 50)).toEqual([]);
  expect(index.search("", 50)).toEqual([]);
  expect(index.search("zebra", 50)).toEqual([]);
  expect(index.search("shoe", 50)).toEqual([0, 2]);
});

test("the length of a document survives its byte as Lucene's does", () => {
  const lengths = [0, 1, 23, 24, 39, 40, 41, 100, 107, 1000, 123_456];
  expect(lengths.map((length) => decodeLength(encodeLength(length)))).toEqual([
    0, 1, 23, 24, 39, 40, 40, 96, 104, 984, 122_904,
  ]);
});

test.skipIf(smallData === undefined)("a jacket is found 17 times among the 1,000 products", () => {
  expect(smallCatalogue().index.search("jacket", 50)).toHaveLength(17);
});
