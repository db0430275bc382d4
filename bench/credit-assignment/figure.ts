/** Success against environment steps as SVG: a line per variant, its band the 95 % interval of the mean over seeds. */

export interface Curve {
  label: string;
  /** Mean and bounds at each of `steps`; bounds may be missing (a single seed). */
  points: { envSteps: number; mean: number; low: number; high: number }[];
}

/** Okabe and Ito's colours, told apart by colour-blind readers too. */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
const dashes = ["", "7 3", "2 2", "9 3 2 3", "4 2", "12 4", "1 3"];

const width = 760;
const height = 420;
const margin = { left: 56, right: 20, top: 40, bottom: 48 };

export function figure(title: string, curves: readonly Curve[], maxEnvSteps: number): string {
  const x = (envSteps: number) => margin.left + (envSteps / maxEnvSteps) * (width - margin.left - margin.right);
  const y = (success: number) => height - margin.bottom - success * (height - margin.top - margin.bottom);
  const at = (envSteps: number, success: number) => `${x(envSteps).toFixed(1)},${y(success).toFixed(1)}`;
  const ticks = niceTicks(maxEnvSteps);
  const grid = [
    ...[0, 0.2, 0.4, 0.6, 0.8, 1].map(
      (s) =>
        `<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(s)}" y2="${y(s)}"/>` +
        `<text x="${margin.left - 8}" y="${y(s) + 4}" text-anchor="end">${Math.round(100 * s)} %</text>`,
    ),
    ...ticks.map(
      (t) =>
        `<line x1="${x(t).toFixed(1)}" x2="${x(t).toFixed(1)}" y1="${y(0)}" y2="${y(1)}"/>` +
        `<text x="${x(t).toFixed(1)}" y="${y(0) + 18}" text-anchor="middle">${t / 1000} k</text>`,
    ),
  ];
  const bands = curves.map(({ points }, i) => {
    const known = points.filter(({ low, high }) => Number.isFinite(low) && Number.isFinite(high));
    const outline = [
      ...known.map((point) => at(point.envSteps, Math.min(1, point.high))),
      ...known.toReversed().map((point) => at(point.envSteps, Math.max(0, point.low))),
    ];
    return outline.length ? `<polygon points="${outline.join(" ")}" fill="${colours[i]}" fill-opacity="0.13"/>` : "";
  });
  const lines = curves.map(
    ({ points }, i) =>
      `<polyline points="${points.map((point) => at(point.envSteps, point.mean)).join(" ")}" fill="none" ` +
      `stroke="${colours[i]}" stroke-width="2"${dashes[i] ? ` stroke-dasharray="${dashes[i]}"` : ""}/>`,
  );
  // A letter of this font is about 6.4 units wide; the dash before the label takes 37.
  const longest = Math.max(...curves.map(({ label }) => label.length));
  const legendLeft = width - margin.right - 37 - Math.ceil(6.4 * longest);
  const legendTop = y(0) - 18 * curves.length - 4;
  const legend = curves.map(
    ({ label }, i) =>
      `<line x1="${legendLeft}" x2="${legendLeft + 30}" y1="${legendTop + 18 * i}" y2="${legendTop + 18 * i}" stroke="${colours[i]}" ` +
      `stroke-width="2"${dashes[i] ? ` stroke-dasharray="${dashes[i]}"` : ""}/>` +
      `<text x="${legendLeft + 37}" y="${legendTop + 18 * i + 4}">${escaped(label)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="12" fill="#333">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${margin.left}" y="22" font-size="15">${escaped(title)}</text>`,
    `<g stroke="#ddd" stroke-width="1">${grid.join("\n").replaceAll("<text", '<text stroke="none"')}</g>`,
    ...bands,
    ...lines,
    `<rect x="${legendLeft - 10}" y="${legendTop - 14}" width="${width - margin.right - legendLeft + 10}" height="${18 * curves.length + 10}" fill="#fff" fill-opacity="0.85"/>`,
    ...legend,
    `<text x="${(margin.left + width - margin.right) / 2}" y="${height - 10}" text-anchor="middle">environment steps trained on</text>`,
    "</svg>",
    "",
  ].join("\n");
}

/** About six round numbers from 0 to `most`. */
function niceTicks(most: number): number[] {
  const rough = most / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= rough)!;
  return Array.from({ length: Math.floor(most / size) + 1 }, (_, i) => i * size);
}

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
