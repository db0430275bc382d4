/**
 * Rotary positions (Su et al. 2021) and the ways of stretching them, with the rounding of the common implementations: frequencies and angles
 * are float32, only cosine and sine are better. Portable functions alone, so that every runtime gives the same angles.
 */
import { cos, exp, ln, sin } from "../../tensor/portable-math.ts";
import type { CausalConfig } from "./config.ts";

const { fround } = Math;

/** The turn per position of each pair of a head [headWidth / 2], in a sequence of this length (`dynamic` alone depends on it). */
export function frequencies(config: CausalConfig, length: number): Float32Array {
  const { headWidth: width, ropeScaling: scaling, trainedContext } = config;
  let theta = config.ropeTheta;
  if (scaling.type === "dynamic" && length > trainedContext) {
    const grown = (scaling.factor * length) / trainedContext - (scaling.factor - 1);
    theta *= exp((width / (width - 2)) * ln(grown));
  }
  const plain = Float32Array.from({ length: width / 2 }, (_, i) => 1 / fround(exp(((2 * i) / width) * ln(theta))));
  switch (scaling.type) {
    case "default":
    case "dynamic":
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor);
    case "yarn": {
      // Between the pairs that turn betaFast and betaSlow times in the original context, from unchanged to divided by factor.
      const pairOf = (turns: number): number =>
        (width * ln(scaling.originalContext / (turns * 2 * Math.PI))) / (2 * ln(theta));
      const [low, high] = [pairOf(scaling.betaFast), pairOf(scaling.betaSlow)];
      const from = Math.max(scaling.truncate ? Math.floor(low) : low, 0);
      let to = Math.min(scaling.truncate ? Math.ceil(high) : high, width - 1);
      if (from === to) to += 0.001;
      return plain.map((frequency, i) => {
        const stretched = Math.min(Math.max((i - from) / (to - from), 0), 1);
        return (frequency / scaling.factor) * stretched + frequency * (1 - stretched);
      });
    }
    case "llama3": {
      const { factor, originalContext, lowFrequencyFactor, highFrequencyFactor } = scaling;
      return plain.map((frequency) => {
        const turns = (originalContext * frequency) / (2 * Math.PI);
        if (turns > highFrequencyFactor) return frequency;
        if (turns < lowFrequencyFactor) return frequency / factor;
        const smooth = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
        return ((1 - smooth) * frequency) / factor + smooth * frequency;
      });
    }
  }
}

/** Positions first … first + count − 1 of a sequence: cosines, then sines [count, headWidth], into `target` at row `at`. */
export function writeAngles(
  config: CausalConfig,
  first: number,
  count: number,
  target: Float32Array,
  at: number,
): void {
  const turn = frequencies(config, first + count);
  const half = turn.length;
  const grown = config.ropeScaling.type === "yarn" ? config.ropeScaling.attentionFactor : 1;
  for (let i = 0; i < count; i++) {
    const row = (at + i) * 2 * half;
    for (let c = 0; c < half; c++) {
      const angle = fround((first + i) * turn[c]);
      target[row + c] = cos(angle) * grown;
      target[row + half + c] = sin(angle) * grown;
    }
  }
}
