/** Where a run's time goes, and what that means, in words. */

export interface Section {
  /** A section of the learner's stopwatch: issue, wait, assemble, advantages, update, broadcast, commit. */
  name: string;
  /** The same for a reader. */
  label: string;
  ms: number;
  share: number;
}

/** What a section of the loop's stopwatch means to a reader. */
export const sectionLabels: Readonly<Record<string, string>> = {
  pause: "paused",
  issue: "issuing tasks",
  wait: "waiting for episodes",
  assemble: "assembling",
  advantages: "advantages",
  update: "update",
  broadcast: "broadcast",
  commit: "checkpoint",
};

/** The sum of the others, and what somebody has asked for. */
const notWork = new Set(["iteration", "pause"]);

/** The longest first. @param ms time by metric name; those named `time/<section>Ms` count */
export function sectionsOf(ms: Iterable<readonly [name: string, ms: number]>): Section[] {
  const sections: { name: string; ms: number }[] = [];
  for (const [metric, value] of ms) {
    const name = /^time\/(.+)Ms$/.exec(metric)?.[1];
    if (name && !notWork.has(name) && Number.isFinite(value)) sections.push({ name, ms: value });
  }
  const total = sections.reduce((sum, section) => sum + section.ms, 0);
  return sections
    .map(({ name, ms }) => ({ name, label: sectionLabels[name] ?? name, ms, share: total === 0 ? 0 : ms / total }))
    .sort((a, b) => b.share - a.share);
}

const advice: Readonly<Record<string, string>> = {
  issue: "The broker takes tasks slowly: look at its disk and at the way there.",
  assemble: "Episodes are put together slowly: that is a matter of their length and of this machine.",
  advantages: "The estimator is what costs: a smaller group or --estimator grpo is cheaper.",
  update:
    "The learner is the bottleneck: fewer --epochs, more --learnerThreads or a faster device would speed it up; more actors would not.",
  broadcast: "Handing out weights is what costs: --weightsEncoding bf16 halves them.",
  commit: "The disk is what costs: a larger --checkpointEvery writes less often.",
};

/** One or two sentences. @param mode sync or async, as configured */
export function bottleneckInWords(sections: readonly Section[], mode: string): string {
  const [first, second] = sections;
  if (!first || first.share === 0) return "Nothing is known yet of where the time goes.";
  const said = ({ label, share }: Section) => `${label} takes ${Math.round(100 * share)} %`;
  const facts = `Of the learner's time, ${said(first)}${second && second.share >= 0.1 ? ` and ${said(second)}` : ""}.`;
  if (first.share < 0.4) return `${facts} No single thing holds it up.`;
  if (first.name !== "wait") return `${facts} ${advice[first.name] ?? ""}`.trimEnd();
  const meanwhile = mode === "sync" ? "; with --mode async it would train meanwhile, on slightly older episodes" : "";
  return `${facts} The actors are the bottleneck: more of them, or on faster machines, would speed it up${meanwhile}.`;
}
