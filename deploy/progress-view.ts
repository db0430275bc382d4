/**
 * Progress of a run on the terminal. On a TTY a small block that is redrawn in place; elsewhere plain lines, at most one a second.
 *
 *   const view = progressView(new ProgressState(title), terminal);
 *   view.note("actor-2 restarted"); …; view.close();
 */
import { styleText } from "node:util";
import { sectionLabels } from "./bottleneck.ts";
import { LiveBlock, type Terminal, visibleWidth } from "./live-block.ts";
import type { Live, ProgressState } from "./progress-state.ts";
import { decimal, duration, percent, short } from "./quantities.ts";
import { sparkline } from "./sparkline.ts";

export { type Live, ProgressState, type RunTitle } from "./progress-state.ts";

export interface ProgressView {
  /** Something worth reading that should stay. */
  note(text: string): void;
  close(): void;
}

type Colour = Parameters<typeof styleText>[0];
export type Paint = (colour: Colour, text: string) => string;

export const colours: Paint = (colour, text) => styleText(colour, text, { validateStream: false });
export const noColours: Paint = (_, text) => text;

/** How often the block is redrawn: often enough that seconds are seen to pass. */
const redrawMs = 250;

/** Redraws until closed. */
export function liveView(state: ProgressState, terminal: Terminal, paint: Paint): ProgressView {
  const block = new LiveBlock(terminal);
  const draw = () => block.draw(renderProgress(state, terminal.columns(), paint));
  draw();
  const timer = setInterval(draw, redrawMs);
  return {
    note: (text) => block.print(text),
    close: () => {
      clearInterval(timer);
      draw();
      block.close();
    },
  };
}

/** For logs and pipes: a line when an iteration is done, but not more than one a second, and the last one always. */
export function plainView(state: ProgressState, write: (line: string) => void, intervalMs = 1000): ProgressView {
  let shown = state.iteration;
  const show = () => {
    if (state.iteration === shown) return;
    shown = state.iteration;
    write(plainLine(state));
  };
  const timer = setInterval(show, intervalMs);
  return {
    note: write,
    close: () => {
      clearInterval(timer);
      show();
    },
  };
}

export function plainLine(state: ProgressState): string {
  const { latest, title } = state;
  const parts = [`iteration ${state.iteration}`, `envSteps ${state.envSteps}`];
  if (title.hasSuccess) parts.push(`success ${decimal(latest["episode/success"] ?? Number.NaN)}`);
  parts.push(`return ${decimal(latest["episode/return"] ?? Number.NaN)}`);
  if (Number.isFinite(state.envStepsPerSecond)) parts.push(`${short(state.envStepsPerSecond)} env steps/s`);
  const [first] = state.sections;
  if (first) parts.push(`${first.name} ${percent(first.share)} of the time`);
  return parts.join("  ");
}

const labelWidth = 12;
const valueWidth = 9;

/** The block's lines, none wider than `columns - 1`. */
export function renderProgress(state: ProgressState, columns: number, paint: Paint): string[] {
  const width = Math.max(20, Math.min(columns, 120) - 1);
  const { title, latest } = state;
  const row = (label: string, value: string, rest: string) =>
    `${paint("dim", label.padEnd(labelWidth))}${paint("bold", value.padEnd(valueWidth))}${rest}`;
  const restWidth = width - labelWidth - valueWidth;
  const lines = ["", spread(`${paint(["bold", "cyan"], title.run)}  ${title.how}`, paint("dim", title.folder), width)];

  const history = (label: string, values: readonly number[], low: number, high: number, colour: Colour) => {
    const range = paint("dim", `${tidy(low)} – ${tidy(high)}`);
    const graph = sparkline(values, restWidth - visibleWidth(range) - 2, low, high);
    return row(label, decimal(values.at(-1)!), spread(paint(colour, graph), range, restWidth));
  };
  if (state.iteration < 0) lines.push(row("", "", paint("dim", "no iteration finished yet")));
  if (state.iteration >= 0 && title.hasSuccess) lines.push(history("success", state.success, 0, 1, "green"));
  if (state.iteration >= 0) {
    const finite = state.returns.filter(Number.isFinite);
    const low = finite.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    const high = finite.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    if (finite.length > 0) lines.push(history("return", state.returns, low, high, "blue"));
  }

  lines.push(row("env steps", short(state.envSteps), stepsRow(state, restWidth, paint)));
  const speed = state.envStepsPerSecond;
  if (Number.isFinite(speed)) {
    const facts = [`iteration ${state.iteration}`];
    if (Number.isFinite(latest["episode/length"]))
      facts.push(`episodes of ${decimal(latest["episode/length"]!)} steps`);
    lines.push(row("per second", short(speed), facts.join(paint("dim", " · "))));
  }
  if (Number.isFinite(latest["run/weightsVersion"])) {
    const age = latest["episode/staleness"] ?? 0;
    const oldest = latest["episode/stalenessMax"] ?? 0;
    const facts = [
      oldest === 0 ? "every episode on-policy" : `episodes ${decimal(age)} versions old (oldest ${oldest})`,
    ];
    const behind = state.live?.lag.maxVersions ?? 0;
    if (behind > 0) facts.push(`actors up to ${behind} behind`);
    lines.push(row("weights", `v${latest["run/weightsVersion"]}`, facts.join(paint("dim", " · "))));
  }
  lines.push(...timeRows(state, restWidth, paint, row));
  const live = state.live;
  if (live) lines.push(row("now", duration(live.sinceMs), nowText(live, paint)));
  return lines;
}

const tidy = (value: number) => (Number.isInteger(value) && Math.abs(value) < 1000 ? String(value) : decimal(value));

function stepsRow(state: ProgressState, width: number, paint: Paint): string {
  const { title } = state;
  const share = state.share;
  if (!Number.isFinite(share)) return "";
  const of = title.totalEnvSteps > 0 ? ` of ${short(title.totalEnvSteps)}` : ` of ${title.iterations} iterations`;
  const left = Number.isFinite(state.leftMs) && share < 1 ? `, ${duration(state.leftMs)} left` : "";
  const text = ` ${percent(share)}${of}${left}`;
  const room = width - visibleWidth(text) - 1;
  if (room < 4) return text.trimStart();
  const done = Math.round(share * room);
  return `${paint("cyan", "━".repeat(done))}${paint("dim", "─".repeat(room - done))}${text}`;
}

const label = (section: string) => sectionLabels[section] ?? section;

/** Told apart by shade where there is no colour. */
const shades: readonly [string, Colour][] = [
  ["█", "yellow"],
  ["▓", "green"],
  ["▒", "blue"],
  ["░", "magenta"],
  ["·", "dim"],
];

function timeRows(
  state: ProgressState,
  width: number,
  paint: Paint,
  row: (label: string, value: string, rest: string) => string,
): string[] {
  const all = state.sections;
  if (all.length === 0) return [];
  const shown = all.slice(0, shades.length - 1);
  const rest = all.slice(shades.length - 1).reduce((sum, { share }) => sum + share, 0);
  const parts = rest > 0.005 ? [...shown, { name: "other", share: rest }] : shown;
  let drawn = 0;
  let cumulative = 0;
  let bar = "";
  for (const [i, { share }] of parts.entries()) {
    cumulative += share;
    const until = Math.round(cumulative * width);
    const [glyph, colour] = shades[i]!;
    bar += paint(colour, glyph.repeat(Math.max(0, until - drawn)));
    drawn = until;
  }
  const legend = parts.map(({ name, share }, i) => {
    const [glyph, colour] = shades[i]!;
    return `${paint(colour, glyph)} ${label(name)} ${percent(share)}`;
  });
  const lines: string[] = [];
  let line = "";
  for (const entry of legend) {
    if (line !== "" && visibleWidth(line) + 2 + visibleWidth(entry) > width) {
      lines.push(line);
      line = entry;
    } else line = line === "" ? entry : `${line}  ${entry}`;
  }
  lines.push(line);
  return [row("time", "", bar), ...lines.map((text) => row("", "", text))];
}

function nowText(live: Live, paint: Paint): string {
  const dot = paint("dim", " · ");
  const facts = [label(live.section)];
  if (live.section === "wait" && live.groupsWanted > 0)
    facts[0] = `${live.groupsReady} of ${live.groupsWanted} groups in`;
  facts.push(
    `${live.episodesInFlight} episodes in flight`,
    `${live.lag.actors} ${live.lag.actors === 1 ? "actor" : "actors"}`,
  );
  return facts.join(dot);
}

/** One text at either end of the line; the right one goes when there is no room. */
function spread(left: string, right: string, width: number): string {
  const gap = width - visibleWidth(left) - visibleWidth(right);
  return gap < 2 ? left : `${left}${" ".repeat(gap)}${right}`;
}
