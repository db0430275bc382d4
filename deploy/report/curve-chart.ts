/** Curves of several runs as SVG that prints, scales and needs no script. */
import { decimal } from "../quantities.ts";

export interface Curve {
  label: string;
  /** Chooses colour and dashes. */
  slot: number;
  /** Bounds of the 95 % interval are NaN where it is not known. */
  points: { x: number; mean: number; low: number; high: number }[];
}

export interface ChartText {
  title: string;
  /** What the horizontal axis counts. */
  across: string;
}

const width = 560;
const height = 300;
const margin = { left: 58, right: 14, top: 12, bottom: 40 };
const dashes = ["", "7 3", "2 2", "9 3 2 3", "4 2", "12 4", "1 3", "5 1"];

export function curveChart({ title, across }: ChartText, curves: readonly Curve[]): string {
  const all = curves.flatMap(({ points }) => points);
  const [lowX, highX] = extent(all.map(({ x }) => x));
  const [lowY, highY] = extent(all.flatMap(({ mean, low, high }) => [mean, low, high]));
  const x = scale(lowX, highX, margin.left, width - margin.right);
  const y = scale(lowY, highY, height - margin.bottom, margin.top);
  const at = (px: number, py: number) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`;
  const summary = curves.map(({ label, points }) => `${label} ends at ${decimal(points.at(-1)!.mean)}`).join("; ");
  const bands = curves.map(({ points, slot }) => {
    const known = points.filter(({ low, high }) => Number.isFinite(low) && Number.isFinite(high));
    const outline = [...known.map((p) => at(p.x, p.high)), ...known.toReversed().map((p) => at(p.x, p.low))];
    return outline.length > 2 ? `<polygon class="s${slot}" points="${outline.join(" ")}"/>` : "";
  });
  const lines = curves.map(({ points, slot }) =>
    points.length === 1
      ? `<circle class="s${slot}" cx="${x(points[0]!.x)}" cy="${y(points[0]!.mean)}" r="4"/>`
      : `<polyline class="s${slot}" stroke-dasharray="${dashes[slot % dashes.length]}" points="${points.map((p) => at(p.x, p.mean)).join(" ")}"/>`,
  );
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(`${title} over ${across}: ${summary}`)}">`,
    ...grid({ lowX, highX, lowY, highY, x, y, across }),
    ...bands,
    ...lines,
    "</svg>",
  ].join("\n");
}

export interface Dot {
  label: string;
  slot: number;
  x: number;
  y: number;
}

/** One named dot a run. */
export function dotChart(across: string, up: string, dots: readonly Dot[]): string {
  const [, highX] = extent([0, ...dots.map((dot) => dot.x)]);
  const [, highY] = extent([0, ...dots.map((dot) => dot.y)]);
  const x = scale(0, highX * 1.25, margin.left, width - margin.right);
  const y = scale(0, highY * 1.1, height - margin.bottom, margin.top);
  const said = dots.map(({ label, x: dx, y: dy }) => `${label} at ${decimal(dx)} and ${decimal(dy)}`).join("; ");
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(`${up} over ${across}: ${said}`)}">`,
    ...grid({ lowX: 0, highX: highX * 1.25, lowY: 0, highY: highY * 1.1, x, y, across }),
    ...apart(dots.map((dot) => ({ ...dot, left: x(dot.x), top: y(dot.y) }))).map(
      ({ slot, label, left, top, labelTop }) =>
        `<circle class="s${slot}" cx="${left.toFixed(1)}" cy="${top.toFixed(1)}" r="5"/>` +
        `<text x="${(left + 9).toFixed(1)}" y="${(labelTop + 4).toFixed(1)}">${escapeHtml(label)}</text>`,
    ),
    "</svg>",
  ].join("\n");
}

/** Moves labels down until none lies on another. */
function apart<D extends { top: number }>(dots: readonly D[]): (D & { labelTop: number })[] {
  let free = Number.NEGATIVE_INFINITY;
  return dots
    .toSorted((a, b) => a.top - b.top)
    .map((dot) => {
      const labelTop = Math.max(dot.top, free);
      free = labelTop + 13;
      return { ...dot, labelTop };
    });
}

interface Frame {
  lowX: number;
  highX: number;
  lowY: number;
  highY: number;
  x(value: number): number;
  y(value: number): number;
  across: string;
}

function grid({ lowX, highX, lowY, highY, x, y, across }: Frame): string[] {
  const [left, right] = [margin.left, width - margin.right];
  const [top, bottom] = [margin.top, height - margin.bottom];
  return [
    ...ticks(lowY, highY).map(
      (t) =>
        `<line x1="${left}" x2="${right}" y1="${y(t).toFixed(1)}" y2="${y(t).toFixed(1)}"/>` +
        `<text x="${left - 7}" y="${(y(t) + 4).toFixed(1)}" text-anchor="end">${tidy(t)}</text>`,
    ),
    ...ticks(lowX, highX).map(
      (t) =>
        `<line x1="${x(t).toFixed(1)}" x2="${x(t).toFixed(1)}" y1="${top}" y2="${bottom}"/>` +
        `<text x="${x(t).toFixed(1)}" y="${bottom + 16}" text-anchor="middle">${tidy(t)}</text>`,
    ),
    `<text x="${(left + right) / 2}" y="${height - 6}" text-anchor="middle">${escapeHtml(across)}</text>`,
  ];
}

function extent(values: readonly number[]): [low: number, high: number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

const scale = (low: number, high: number, from: number, to: number) => (value: number) =>
  from + ((value - low) / (high - low)) * (to - from);

/** About five round numbers. */
function ticks(low: number, high: number): number[] {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= rough)!;
  const first = Math.ceil(low / size);
  return Array.from({ length: Math.floor(high / size) - first + 1 }, (_, i) => (first + i) * size);
}

/** 50 k, 0.5: no digit that says nothing. */
const tidy = (value: number) => {
  const text = Math.abs(value) > 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : decimal(value);
  return text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
};

export const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
