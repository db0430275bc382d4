import type { Turn } from "../environment.ts";

/** Products that are looked at before one is bought: with three options to choose, 14 steps at most. */
const MOST_TRIES = 4;

/**
 * Shops by a rule, knowing how synthetic instructions are written ("… with color: white, and size: 2t, and …") and nothing else: search
 * the whole instruction; open the results in order until one offers every option that is named, after four the one that offered most;
 * choose those options; buy. Make one for each episode.
 */
export class Shopper {
  private readonly tries: number;
  /** Products looked at, with how many of the named options each offers. */
  private readonly tried = new Map<string, number>();
  private open = "";
  private settled = false;
  private readonly chosen = new Set<string>();

  constructor(tries = MOST_TRIES) {
    this.tries = tries;
  }

  /** An admissible action. */
  next({ admissible = [], instruction = "" }: Turn): string {
    const search = admissible.find((action) => action.startsWith("search["));
    if (search !== undefined) return search;
    if (admissible.includes("click[buy now]")) return this.inspect(admissible, instruction.toLowerCase());
    const products = admissible.filter((action) => action.startsWith("click[item - "));
    if (products.length === 0) return "click[back to search]";
    const untried = products.find((product) => !this.tried.has(product));
    this.settled = untried === undefined || this.tried.size >= this.tries;
    this.open = this.settled ? this.best(products) : (untried as string);
    return this.open;
  }

  private inspect(admissible: readonly string[], instruction: string): string {
    const wish = `${instruction},`;
    const named = admissible.filter((action) => wish.includes(`: ${action.slice("click[".length, -1)},`));
    this.tried.set(this.open, named.length);
    const wishes = instruction.split(": ").length - 1;
    if (!this.settled && named.length < wishes && this.tries > 1 && admissible.includes("click[< prev]"))
      return "click[< prev]";
    const next = named.sort((a, b) => b.length - a.length).find((action) => !this.chosen.has(action));
    if (next === undefined) return "click[buy now]";
    this.chosen.add(next);
    return next;
  }

  private best(products: readonly string[]): string {
    const offers = (product: string) => this.tried.get(product) ?? -1;
    return products.reduce((best, product) => (offers(product) > offers(best) ? product : best));
  }
}
