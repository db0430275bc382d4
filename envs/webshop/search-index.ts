import { hash32 } from "../random.ts";
import type { CatalogueFile } from "./catalogue-file.ts";
import type { IndexFacts } from "./index-builder.ts";
import { analyze } from "./search-analyzer.ts";
import { inverseNorms, termScore, termWeight } from "./similarity.ts";

/** A document's number and a count. */
const POSTING_BYTES = 6;
/** Postings kept in memory between searches, where files cannot be mapped. */
const CACHED_POSTINGS = 4_000_000;
/** Documents whose scores are summed at a time: they stay in the processor's cache. */
const WINDOW = 8192;
/** Counts of a term in a document whose scores are tabulated, one row of 256 norms each. */
const TABULATED = 3;
/** Looking for one document takes as long as going through so many postings. */
const LOOK_COST = 16;
/** Shorter lists are scored without a table. */
const LONG_LIST = 1000;
/** Rounding of a score to single precision, and more. */
const MARGIN = 1 + 1e-6;

interface Postings {
  /** uint32 [n], ascending. */
  documents: Uint32Array;
  /** uint16 [n]: how often the term occurs in each. */
  counts: Uint16Array;
}

interface QueryTerm extends Postings {
  weight: number;
  /** No document scores more for this term. */
  bound: number;
  /** No document scores more for this term and all after it. */
  rest: number;
  /** float32 [TABULATED, 256]: score by count - 1 and norm; empty for short lists. */
  table: Float32Array;
  /** First posting that no window has passed. */
  next: number;
}

/**
 * BM25 as Lucene's, over the postings of a catalogue. Documents are numbered in the order of their ids, which is the order in which
 * Anserini ranks documents of equal score.
 *
 * Windows of documents are scored one after the other (MaxScore: Turtle and Flood 1995, by windows as in Lucene 9). Once `hits`
 * documents are found, terms that cannot lift a document above the least of them by themselves are only looked up, for the documents
 * that other terms have found. A score is a sum of single-precision numbers in double precision, which is exact in any order: what is
 * left out changes no bit of what is found.
 */
export class SearchIndex {
  private readonly file: CatalogueFile<IndexFacts>;
  private readonly names: Uint8Array;
  private readonly nameStarts: Uint32Array;
  private readonly slots: Uint32Array;
  private readonly offsets: Float64Array;
  private readonly frequencies: Uint32Array;
  private readonly impacts: Float32Array;
  private readonly norms: Uint8Array;
  private readonly inverse: Float32Array;
  /** Least recently used first. */
  private readonly cache = new Map<number, Postings>();
  private cachedPostings = 0;
  private readonly mapped: { bytes: Uint8Array; offset: number } | undefined;
  /** Scores of a window's documents so far, 0 where not reached; all 0 between windows. */
  private readonly scores = new Float64Array(WINDOW);
  /** Those that were reached, by their place in the window. */
  private readonly reached = new Uint32Array(WINDOW);
  private readonly encoder = new TextEncoder();

  constructor(file: CatalogueFile<IndexFacts>) {
    this.file = file;
    this.names = file.uint8("termNames");
    this.nameStarts = file.uint32("termNameStarts");
    this.slots = file.uint32("termSlots");
    this.offsets = file.float64("termOffsets");
    this.frequencies = file.uint32("termFrequencies");
    this.impacts = file.float32("termImpacts");
    this.norms = file.uint8("norms");
    this.mapped = file.mapped("postings");
    const { totalTerms, indexedDocuments } = file.facts;
    this.inverse = inverseNorms(totalTerms / Math.max(1, indexedDocuments));
  }

  /** Memory: of the tables that every process holds, and of all postings, which processes share where files can be mapped. */
  get bytes(): { held: number; postings: number } {
    const tables = [this.names, this.nameStarts, this.slots, this.offsets, this.frequencies, this.impacts, this.norms];
    return {
      held: tables.reduce((sum, { byteLength }) => sum + byteLength, 0),
      postings: POSTING_BYTES * this.frequencies.reduce((sum, frequency) => sum + frequency, 0),
    };
  }

  /** The best documents, best first, at most `hits`. A query without any known term finds nothing. */
  search(query: string, hits: number): number[] {
    const terms = this.queryTerms(query);
    const best = new Best(hits);
    let leading = terms.length;
    for (;;) {
      // Documents of later terms alone cannot be among the best. The least of the best only rises, so `leading` only falls.
      while (leading > 0 && terms[leading - 1].rest * MARGIN <= best.least) leading--;
      const start = nextDocument(terms, leading);
      if (start === NONE) return best.documents();
      let reached = 0;
      for (let i = 0; i < leading; i++) reached = this.addWindow(terms[i], start, reached);
      for (let i = leading; i < terms.length && reached > 0; i++) {
        reached = this.keep(reached, best.least, terms[i].rest);
        this.lookUp(terms[i], start, reached);
      }
      const { scores } = this;
      for (let r = 0; r < reached; r++) {
        const place = this.reached[r];
        best.offer(Math.fround(scores[place]), start + place);
        scores[place] = 0;
      }
    }
  }

  /** Adds a term to the documents from `start` on, noting those that nothing reached before. Gives the number reached. */
  private addWindow(list: QueryTerm, start: number, reachedBefore: number): number {
    const { scores, reached } = this;
    const { documents } = list;
    const end = start + WINDOW;
    let count = reachedBefore;
    let p = list.next;
    for (; p < documents.length; p++) {
      const document = documents[p];
      if (document >= end) break;
      const place = document - start;
      if (scores[place] === 0) reached[count++] = place;
      scores[place] += this.scoreAt(list, p);
    }
    list.next = p;
    return count;
  }

  /** Forgets the documents that `rest` more would not bring among the best. Gives the number left. */
  private keep(count: number, least: number, rest: number): number {
    const { scores, reached } = this;
    let kept = 0;
    for (let r = 0; r < count; r++) {
      const place = reached[r];
      if ((scores[place] + rest) * MARGIN > least) reached[kept++] = place;
      else scores[place] = 0;
    }
    return kept;
  }

  /** Adds a term to the documents that were reached: looks for each, or goes through the window's postings where those are few. */
  private lookUp(list: QueryTerm, start: number, count: number): void {
    if (count === 0) return;
    const { scores, reached } = this;
    const { documents } = list;
    list.next = firstAtLeast(documents, start, list.next, documents.length);
    const end = Math.min(list.next + WINDOW, documents.length);
    if (count * LOOK_COST < (documents.length * WINDOW) / this.norms.length) {
      for (let r = 0; r < count; r++) {
        const p = firstAtLeast(documents, start + reached[r], list.next, end);
        if (p < end && documents[p] === start + reached[r]) scores[reached[r]] += this.scoreAt(list, p);
      }
    } else {
      for (let p = list.next; p < end && documents[p] < start + WINDOW; p++)
        if (scores[documents[p] - start] !== 0) scores[documents[p] - start] += this.scoreAt(list, p);
    }
  }

  /** What posting `p` is worth to its document. */
  private scoreAt({ documents, counts, table, weight }: QueryTerm, p: number): number {
    const times = counts[p];
    const norm = this.norms[documents[p]];
    if (times * 256 <= table.length) return table[(times - 1) * 256 + norm];
    return termScore(weight, Math.fround(times * this.inverse[norm]));
  }

  /** Highest bound first: rare terms find the best documents early. */
  private queryTerms(query: string): QueryTerm[] {
    const repetitions = new Map<string, number>();
    for (const term of analyze(query)) repetitions.set(term, (repetitions.get(term) ?? 0) + 1);
    const terms: QueryTerm[] = [];
    for (const [name, count] of repetitions) {
      const term = this.lookup(name);
      if (term < 0) continue;
      const weight = termWeight(this.file.facts.indexedDocuments, this.frequencies[term], count);
      const bound = termScore(weight, this.impacts[term]);
      const table = this.frequencies[term] < LONG_LIST ? NO_TABLE : this.scoreTable(weight);
      terms.push({ ...this.postings(term), weight, bound, rest: 0, table, next: 0 });
    }
    terms.sort((a, b) => b.bound - a.bound || a.documents.length - b.documents.length);
    for (let i = terms.length - 1, rest = 0; i >= 0; i--) terms[i].rest = rest += terms[i].bound;
    return terms;
  }

  private scoreTable(weight: number): Float32Array {
    const { inverse } = this;
    return Float32Array.from({ length: TABULATED * 256 }, (_, i) =>
      termScore(weight, Math.fround((1 + (i >> 8)) * inverse[i & 255])),
    );
  }

  private lookup(name: string): number {
    const { slots, names, nameStarts } = this;
    const wanted = this.encoder.encode(name);
    for (let slot = hash32(name) & (slots.length - 1); slots[slot] !== 0; slot = (slot + 1) & (slots.length - 1)) {
      const term = slots[slot] - 1;
      const start = nameStarts[term];
      if (nameStarts[term + 1] - start === wanted.length && wanted.every((byte, i) => names[start + i] === byte))
        return term;
    }
    return -1;
  }

  private postings(term: number): Postings {
    return this.mapped === undefined ? this.readPostings(term) : this.mappedPostings(term, this.mapped);
  }

  private mappedPostings(term: number, { bytes, offset }: { bytes: Uint8Array; offset: number }): Postings {
    const count = this.frequencies[term];
    const start = bytes.byteOffset + this.offsets[term] - offset;
    return {
      documents: new Uint32Array(bytes.buffer, start, count),
      counts: new Uint16Array(bytes.buffer, start + count * 4, count),
    };
  }

  private readPostings(term: number): Postings {
    const cached = this.cache.get(term);
    if (cached !== undefined) {
      this.cache.delete(term);
      this.cache.set(term, cached);
      return cached;
    }
    const count = this.frequencies[term];
    const { buffer } = this.file.read(this.offsets[term], count * POSTING_BYTES);
    const read = { documents: new Uint32Array(buffer, 0, count), counts: new Uint16Array(buffer, count * 4, count) };
    for (const [oldest, { documents }] of this.cache) {
      if (this.cachedPostings + count <= CACHED_POSTINGS) break;
      this.cache.delete(oldest);
      this.cachedPostings -= documents.length;
    }
    this.cache.set(term, read);
    this.cachedPostings += count;
    return read;
  }
}

const NONE = Number.POSITIVE_INFINITY;
const NO_TABLE = new Float32Array(0);

/** The first document that one of the leading terms has not passed. */
function nextDocument(terms: readonly QueryTerm[], leading: number): number {
  let first = NONE;
  for (let i = 0; i < leading; i++) {
    const { documents, next } = terms[i];
    if (next < documents.length && documents[next] < first) first = documents[next];
  }
  return first;
}

/** First index from `from` on, before `end`, of a number not below `wanted` in the ascending list; `end` when there is none. */
function firstAtLeast(list: Uint32Array, wanted: number, from: number, end: number): number {
  let low = from;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The best documents so far, as a heap whose root is the worst of them. Of equal scores the lower number is better. */
class Best {
  /** The score of the worst; 0 as long as there is room. A later document must exceed it. */
  least = 0;
  private readonly room: number;
  private readonly scores: number[] = [];
  private readonly numbers: number[] = [];

  constructor(room: number) {
    this.room = room;
  }

  offer(score: number, document: number): void {
    const { scores, numbers, room } = this;
    if (scores.length < room) {
      let i = scores.length;
      for (; i > 0 && this.isWorse(score, document, (i - 1) >> 1); i = (i - 1) >> 1) this.move((i - 1) >> 1, i);
      scores[i] = score;
      numbers[i] = document;
    } else if (score > this.least || (score === this.least && document < numbers[0])) {
      let i = 0;
      for (let child = 1; child < room; child = 2 * i + 1) {
        if (child + 1 < room && this.isWorse(scores[child + 1], numbers[child + 1], child)) child++;
        if (this.isWorse(score, document, child)) break;
        this.move(child, i);
        i = child;
      }
      scores[i] = score;
      numbers[i] = document;
    }
    if (scores.length === room) this.least = scores[0];
  }

  /** Best first. */
  documents(): number[] {
    const { scores, numbers } = this;
    const order = [...numbers.keys()].sort((a, b) => scores[b] - scores[a] || numbers[a] - numbers[b]);
    return order.map((i) => numbers[i]);
  }

  private isWorse(score: number, document: number, than: number): boolean {
    return score < this.scores[than] || (score === this.scores[than] && document > this.numbers[than]);
  }

  private move(from: number, to: number): void {
    this.scores[to] = this.scores[from];
    this.numbers[to] = this.numbers[from];
  }
}
