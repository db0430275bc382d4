import { describe, expect, test } from "bun:test";
import { grpo, grpoAdvantages } from "./grpo.ts";
import { literalProxmo } from "./literal.ts";
import { resolveEstimatorOptions } from "./options.ts";
import { betaOf, largestSignal, polarizedWeight } from "./polarized-signal.ts";
import { type ProxmoOptions, proxmo, proxmoTerms, proxmoWithEmbedding } from "./proxmo.ts";
import { type Episode, groupsOf, maxError, type Random, randomEpisodes, seeded } from "./testing.ts";

const optionsWith = (given: Partial<Record<keyof ProxmoOptions, unknown>> = {}) =>
  resolveEstimatorOptions(proxmo, given as Record<string, unknown>);

const advantagesOf = (episodes: readonly Episode[], options: ProxmoOptions) =>
  proxmoTerms(groupsOf(episodes), options).advantages;

function shuffled<T>(random: Random, list: readonly T[]): T[] {
  return list
    .map((value) => ({ value, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);
}

/** A step's advantage under the name of its step, so that batches in different orders can be compared. */
function byStep(episodes: readonly Episode[], advantages: ArrayLike<number>): Map<unknown, number> {
  const named = new Map<unknown, number>();
  episodes
    .flatMap((episode) => episode.steps)
    .forEach((step, row) => {
      named.set(step, advantages[row]);
    });
  return named;
}

const episode = (group: number, reward: number, anchors: readonly string[]): Episode => ({
  group,
  success: reward > 0,
  steps: anchors.map((anchor, t) => ({ anchor, reward: t === anchors.length - 1 ? reward : 0 })),
});

describe("proxmo", () => {
  test("equals the equations written out, under every switch", () => {
    const switches: Partial<Record<keyof ProxmoOptions, unknown>>[] = [
      {},
      { preset: "paper" },
      { scope: "same-step" },
      { scope: "same-step", selfWeight: "include" },
      { normalize: "none", maxAdjustment: 0.2 },
      { psc: false, tau: 0.003 },
      { psa: false },
      { tau: 0.0001 },
      { alpha: 1, beta: 2, omega: 0.3, gamma: 0.5, tau: 30, selfWeight: "include" },
      { invalidActionPenalty: 0.1 },
    ];
    switches.forEach((given, seed) => {
      for (const anyReward of [false, true]) {
        const episodes = randomEpisodes(seeded(seed + 100), { groups: 5, anyReward });
        const options = optionsWith(given);
        const found = proxmoTerms(groupsOf(episodes), options);
        const expected = literalProxmo(episodes, options);
        expect(maxError(found.episode, expected.episode)).toBeLessThan(1e-12);
        expect(maxError(found.step, expected.step)).toBeLessThan(1e-12);
        expect(maxError(found.advantages, expected.advantages)).toBeLessThan(1e-12);
      }
    });
  });

  test("does not depend on the order of groups, members or anchor table", () => {
    const random = seeded(11);
    for (const scope of ["group", "same-step"]) {
      const episodes = randomEpisodes(random, { groups: 6, anyReward: true });
      const order = shuffled(random, [0, 1, 2, 3, 4, 5]);
      const moved = order.flatMap((group) =>
        shuffled(
          random,
          episodes.filter((e) => e.group === group),
        ),
      );
      const before = byStep(episodes, advantagesOf(episodes, optionsWith({ scope })));
      const after = byStep(moved, advantagesOf(moved, optionsWith({ scope })));
      for (const [step, advantage] of before) expect(after.get(step)).toBeCloseTo(advantage, 12);
    }
  });

  test("does not mind a table of anchors in which texts repeat", () => {
    const groups = groupsOf(randomEpisodes(seeded(12)));
    const strings = Array.from(groups.anchors!.index, (i) => groups.anchors!.strings[i]);
    const repeated = { ...groups, anchors: { strings, index: Uint32Array.from(strings, (_, row) => row) } };
    const options = optionsWith();
    expect(proxmoTerms(repeated, options).advantages).toEqual(proxmoTerms(groups, options).advantages);
  });

  test("with τ towards 0 takes the mean return of identical anchors, as exact matching does", () => {
    // Anchors of different words: no two are equally near without being the same.
    const episodes = randomEpisodes(seeded(13), { groups: 5 }).map((e) => ({
      ...e,
      steps: e.steps.map((step, t) => ({ ...step, anchor: `${"abcdef"[t % 3].repeat(3)} place${t % 3}` })),
    }));
    const groups = groupsOf(episodes);
    for (const selfWeight of ["include", "exclude"]) {
      const cold = proxmoTerms(groups, optionsWith({ tau: 1e-5, selfWeight })).step;
      const exact = proxmoTerms(groups, optionsWith({ tau: 1e-5, selfWeight, proximity: "exact" })).step;
      // A lone place has no equal to learn from when it is itself left out.
      const alone = episodes.flatMap((e) =>
        e.steps.map((step) => {
          const siblings = episodes.filter((other) => other.group === e.group).flatMap((other) => other.steps);
          return siblings.filter((other) => other.anchor === step.anchor).length === 1;
        }),
      );
      cold.forEach((value, row) => {
        if (selfWeight === "include" || !alone[row]) expect(value).toBeCloseTo(exact[row], 9);
      });
    }
  });

  test("with τ towards ∞ takes the mean return of the group", () => {
    const episodes = randomEpisodes(seeded(14), { groups: 5 });
    const groups = groupsOf(episodes);
    const { returns, step } = proxmoTerms(groups, optionsWith({ tau: 1e9, selfWeight: "include" }));
    let row = 0;
    for (let group = 0; group < 5; group++) {
      const count = episodes.filter((e) => e.group === group).reduce((sum, e) => sum + e.steps.length, 0);
      const mean = returns.subarray(row, row + count).reduce((a, b) => a + b, 0) / count;
      for (const end = row + count; row < end; row++) expect(step[row]).toBeCloseTo(returns[row] - mean, 8);
    }
  });

  test("without controller and step term is GRPO, be they switched off or weighed 0", () => {
    const groups = groupsOf(randomEpisodes(seeded(15), { anyReward: true }));
    const expected = grpoAdvantages(groups, resolveEstimatorOptions(grpo, { epsilon: 0 }));
    for (const given of [
      { beta: 0, omega: 0 },
      { psc: false, psa: false },
    ])
      expect(maxError(proxmoTerms(groups, optionsWith(given)).advantages, expected)).toBe(0);
  });

  test("given every group twice changes only through the counts of documents", () => {
    const episodes = randomEpisodes(seeded(16), { groups: 3 });
    const twice = [0, 1].flatMap((copy) => episodes.map((e) => ({ ...e, group: e.group + 3 * copy })));
    for (const proximity of ["exact", "tfidf"]) {
      const options = optionsWith({ proximity });
      const once = advantagesOf(episodes, options);
      const both = advantagesOf(twice, options);
      expect(both.subarray(0, once.length)).toEqual(both.subarray(once.length));
      // idf = ln((1 + 2n)/(1 + 2df)) + 1 moves a little; an identity has no counts to move.
      expect(maxError(once, both.subarray(0, once.length))).toBeLessThan(proximity === "exact" ? 1e-15 : 0.1);
    }
  });

  test("gives a lone member only its step term", () => {
    const { episode: term, step } = proxmoTerms(groupsOf([episode(0, 1, ["aa", "bb", "aa"])]), optionsWith());
    expect([...term]).toEqual([0, 0, 0]);
    expect(step.some((value) => value !== 0)).toBe(true);
    expect([...proxmoTerms(groupsOf([episode(0, 1, ["aa"])]), optionsWith()).advantages]).toEqual([0]);
  });

  test("still tells steps apart in a group that always wins, and has nothing to say where all fail", () => {
    const wins = [episode(0, 1, ["aa", "bb"]), episode(0, 1, ["aa", "cc", "bb", "dd"])];
    const fails = [episode(1, 0, ["aa", "bb"]), episode(1, 0, ["aa"])];
    const { advantages, dropped, diagnostics } = proxmo.estimate(groupsOf([...wins, ...fails]), optionsWith());
    expect(advantages.slice(0, 6).every((a) => a !== 0)).toBe(true);
    expect([...advantages.slice(6)]).toEqual([0, 0, 0]);
    expect([...dropped!]).toEqual([0, 0, 1, 1]);
    expect(diagnostics.groupsWithoutSignal).toBe(0.5);
  });

  test("finds a row without terms equally far from everything", () => {
    const groups = groupsOf([episode(0, 1, ["aa", "", "bb"]), episode(0, 0, ["aa", "! ?", "bb"])]);
    const { returns, step, diagnostics } = proxmoTerms(groups, optionsWith({ selfWeight: "include" }));
    expect(step[1]).toBeCloseTo(returns[1] - returns.reduce((a, b) => a + b, 0) / 6, 12);
    expect(diagnostics.emptyAnchorShare).toBeCloseTo(2 / 6, 12);
    expect(diagnostics.vectoriserFailures).toBe(0);
  });

  test("counts a vocabulary that is empty, whichever way it goes on", () => {
    const groups = groupsOf([episode(0, 1, ["a", "b"]), episode(0, 0, ["a", ""])]);
    const uniform = proxmoTerms(groups, optionsWith({ selfWeight: "include" }));
    expect(uniform.diagnostics.vectoriserFailures).toBe(1);
    expect(uniform.step[0]).toBeCloseTo(0.95 - 1.95 / 4, 12);
    const zero = proxmoTerms(groups, optionsWith({ preset: "reference" }));
    expect(zero.diagnostics.vectoriserFailures).toBe(1);
    expect([...zero.step]).toEqual([0, 0, 0, 0]);
  });

  test("says how much of a baseline is the row itself", () => {
    const groups = groupsOf([episode(0, 1, ["aa"]), episode(0, 0, ["aa"]), episode(0, 0, ["bb"])]);
    const { baseline } = proxmoTerms(groups, optionsWith({ selfWeight: "include", tau: 1 }));
    const e = Math.E;
    expect(maxError(baseline!.selfWeights, [e / (2 * e + 1), e / (2 * e + 1), e / (e + 2)])).toBeLessThan(1e-12);
    expect(baseline!.sampleSizes[0]).toBeCloseTo((2 * e + 1) ** 2 / (2 * e * e + 1), 12);
    const excluded = proxmoTerms(groups, optionsWith({ tau: 1 })).baseline!;
    expect(maxError(excluded.selfWeights, baseline!.selfWeights)).toBeLessThan(1e-12);
    expect(excluded.sampleSizes[2]).toBeCloseTo(2, 12);
  });

  test("reads the published code's success rate from scores, where a reward of 10 saturates it", () => {
    const lengths = [9, 1];
    const groups = groupsOf(lengths.map((length, i) => episode(0, i ? 10 : 0, new Array(length).fill("aa"))));
    expect([...proxmoTerms(groups, optionsWith({ preset: "reference" })).successRates]).toEqual([1]);
    expect([...proxmoTerms(groups, optionsWith()).successRates]).toEqual([0.5]);
  });

  test("keeps the penalty for refused actions out of p, unless it reads scores", () => {
    const groups = groupsOf([{ ...episode(0, 1, ["aa"]), steps: [{ anchor: "aa", reward: 1, valid: false }] }]);
    const p = (given: object) =>
      proxmoTerms(groups, optionsWith({ invalidActionPenalty: 0.1, ...given })).successRates[0];
    expect(p({})).toBe(1);
    expect(p({ preset: "reference" })).toBeCloseTo(0.9, 12);
  });

  test("compares by an embedding of the user's own", () => {
    const groups = groupsOf([episode(0, 1, ["near", "far"]), episode(0, 0, ["close", "away"])]);
    const seen: string[][] = [];
    const definition = proxmoWithEmbedding((texts) => {
      seen.push([...texts]);
      return texts.map((text) => (text === "near" || text === "close" ? [2, 0] : [0, 0.5]));
    });
    const options = resolveEstimatorOptions(definition, { tau: 1e-3 });
    const { advantages } = definition.estimate(groups, { ...options, psc: false, normalize: "none", omega: 1 });
    expect(seen).toEqual([["near", "far", "close", "away"]]);
    expect(maxError(advantages, [0.5 + 0.95, 0.5 + 1, -0.5 - 0.95, -0.5 - 1])).toBeLessThan(1e-6);
    const broken = proxmoWithEmbedding((texts) => texts.map((_, i) => new Array(i + 1).fill(1)));
    expect(() => broken.estimate(groups, options)).toThrow("expected 4 vectors of one length");
    expect(() => proxmo.estimate(groups, optionsWith({ proximity: "embedding" }))).toThrow("proxmoWithEmbedding");
  });

  test("says so when the groups carry no anchors", () => {
    const { anchors: _, ...groups } = groupsOf(randomEpisodes(seeded(17)));
    expect(() => proxmo.estimate(groups, optionsWith())).toThrow("carry no 'anchors'");
    expect(proxmo.estimate(groups, optionsWith({ psa: false })).advantages).toHaveLength(groups.rewards.length);
  });

  test("lets options given beside a preset win over it", () => {
    expect(optionsWith({ preset: "reference" })).toMatchObject({ normalize: "none", beta: betaOf(0.05), tau: 0.1 });
    expect(optionsWith({ preset: "reference", normalize: "std", beta: 0.3 })).toMatchObject({
      normalize: "std",
      beta: 0.3,
    });
    expect(() => optionsWith({ preset: "papers" })).toThrow("one of 'default', 'paper', 'reference'");
    expect(() => optionsWith({ tau: 0 })).toThrow("at least 0.000001");
  });
});

describe("polarizedWeight", () => {
  test("raises rare successes, lowers rare failures, and never moves by more than maxAdjustment", () => {
    expect(polarizedWeight(true, 0, 4, betaOf(0.05))).toBeCloseTo(1.05, 12);
    expect(polarizedWeight(false, 1, 4, betaOf(0.05))).toBeCloseTo(0.95, 12);
    expect(largestSignal).toBeCloseTo(0.2311, 4);
    for (let p = 0; p <= 1; p += 0.1)
      for (const success of [true, false])
        expect(Math.abs(polarizedWeight(success, p, 4, betaOf(0.05)) - 1)).toBeLessThanOrEqual(0.05 + 1e-12);
  });
});
