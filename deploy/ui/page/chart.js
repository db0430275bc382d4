/** One metric of several runs as a line chart that a keyboard and a screen reader can use too. */
import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { decimal, short } from "./format.js";
import { html } from "./ui.js";

const HEIGHT = 190;
const sync = uPlot.sync("progress");

/** A colour of the style sheet, as the canvas needs it: resolved for the theme that is on. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const faint = (rgb) => rgb.replace(/^rgb\((.*)\)$/, "rgba($1, 0.28)");

/** 50 k, 0.5, 1.25 M: no digit that says nothing. */
const tidy = (value) =>
  (Math.abs(value) >= 1000 ? short(value) : decimal(value))
    .replace(/(\.\d*?)0+(?=\D|$)/, "$1")
    .replace(/\.(?=\D|$)/, "");

const axisFormats = {
  envSteps: tidy,
  iteration: tidy,
  hours: (value) => (value < 1 ? `${tidy(60 * value)} min` : `${tidy(value)} h`),
};

/**
 * @param lines [{ run, slot, x, y, smooth? }], the slot choosing the colour
 * @param onZoom called with [from, to] in units of the axis, or undefined for all
 */
export function Chart({ title, metric, lines, axis, theme, onZoom }) {
  const place = useRef();
  const chart = useRef();
  const values = useRef([]);
  const shape = JSON.stringify([lines.map(({ run, slot, smooth }) => [run, slot, Boolean(smooth)]), axis, theme]);
  const data = useMemo(() => join(lines), [lines]);

  useEffect(() => {
    const show = (u) => {
      const { idx } = u.cursor;
      for (const [i, { x, y, smooth }] of (u.lines ?? []).entries()) {
        const cell = values.current[i];
        if (!cell) continue;
        const at = idx === null || idx === undefined ? x.length - 1 : nearest(x, u.data[0][idx]);
        cell.textContent = decimal((smooth ?? y)[at]);
      }
      const at = idx === null || idx === undefined ? undefined : u.data[0][idx];
      if (values.current.x) values.current.x.textContent = at === undefined ? "" : axisFormats[axis](at);
    };
    const u = new uPlot(
      {
        width: place.current.clientWidth || 300,
        height: HEIGHT,
        legend: { show: false },
        cursor: { sync: { key: sync.key }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        select: { show: true },
        scales: { x: { time: false } },
        axes: [
          { ...axisStyle((_, ticks) => ticks.map(axisFormats[axis])), size: 28 },
          { ...axisStyle((_, t) => t.map(tidy)), size: 48 },
        ],
        series: [{}, ...seriesOf(lines)],
        hooks: {
          setCursor: [show],
          setSelect: [
            ({ select }) => {
              if (select.width > 4) onZoom([u.posToVal(select.left, "x"), u.posToVal(select.left + select.width, "x")]);
              u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            },
          ],
        },
      },
      data,
      place.current,
    );
    u.lines = lines;
    show(u);
    chart.current = { u, show };
    u.over.addEventListener("dblclick", () => onZoom(undefined));
    const resize = new ResizeObserver(([{ contentRect }]) => u.setSize({ width: contentRect.width, height: HEIGHT }));
    resize.observe(place.current);
    return () => {
      resize.disconnect();
      u.destroy();
    };
  }, [shape]);

  useEffect(() => {
    const { u, show } = chart.current;
    if (u.lines === lines) return;
    u.lines = lines;
    u.setData(data);
    show(u);
  }, [lines]);

  return html`
    <figure
      class="chart"
      tabindex="0"
      aria-label=${`${title}: ${lines.map(inWords).join("; ")}. Arrow keys read values, plus and minus zoom.`}
      onKeyDown=${(event) => keyboard(event, chart.current?.u, onZoom)}
    >
      <figcaption>
        <span class="name" title=${metric}>${title}</span>
        <span class="at" ref=${(cell) => (values.current.x = cell)}></span>
      </figcaption>
      <div class="plot" ref=${place} aria-hidden="true"></div>
      <ul class="legend">
        ${lines.map(
          ({ run, slot }, i) => html`
            <li key=${run}>
              <span class=${`swatch run-${slot}`}></span>${lines.length > 1 ? run : null}
              <strong ref=${(cell) => (values.current[i] = cell)}></strong>
            </li>
          `,
        )}
      </ul>
    </figure>
  `;
}

function inWords({ run, y, smooth }) {
  const finite = y.filter(Number.isFinite);
  return `${run} now ${decimal((smooth ?? y).at(-1))}, from ${decimal(y[0])}, between ${decimal(Math.min(...finite))} and ${decimal(Math.max(...finite))}`;
}

function seriesOf(lines) {
  return lines.flatMap(({ slot, x, smooth }) => {
    const stroke = colour(`--run-${slot}`);
    const points = { show: x.length < 2 };
    const line = { stroke, width: 1.75, points };
    return smooth ? [{ stroke: faint(stroke), width: 1, points }, line] : [line];
  });
}

function join(lines) {
  if (lines.length === 0) return [[]];
  return uPlot.join(lines.map(({ x, y, smooth }) => (smooth ? [x, y, smooth] : [x, y])));
}

const axisStyle = (values) => ({
  stroke: colour("--muted"),
  font: "11px system-ui, sans-serif",
  grid: { stroke: colour("--line"), width: 1 },
  ticks: { show: false },
  values,
});

/** Index of the value of an ascending list that is nearest. */
function nearest(ascending, value) {
  let low = 0;
  let high = ascending.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (ascending[middle] <= value) low = middle;
    else high = middle;
  }
  return value - ascending[low] <= ascending[high] - value ? low : high;
}

function keyboard(event, u, onZoom) {
  if (!u) return;
  const [xs] = u.data;
  const last = xs.length - 1;
  const at = u.cursor.idx ?? last;
  const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 20, PageDown: at + 20, Home: 0, End: last };
  const zooms = { "+": 0.25, "=": 0.25, "-": 1 };
  if (event.key in moves) {
    const idx = Math.min(last, Math.max(0, moves[event.key]));
    u.setCursor({ left: u.valToPos(xs[idx], "x"), top: u.over.clientHeight / 2 });
  } else if (event.key in zooms) {
    const half = (u.scales.x.max - u.scales.x.min) * zooms[event.key];
    const centre = u.cursor.idx === null ? xs[last] : xs[at];
    onZoom([centre - half, centre + half]);
  } else if (event.key === "Escape") onZoom(undefined);
  else return;
  event.preventDefault();
}
