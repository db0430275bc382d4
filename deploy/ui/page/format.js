/** How people like numbers. */

/** 950, 18.2 k, 1.25 M */
export function short(value) {
  const magnitude = Math.abs(value);
  if (!Number.isFinite(value)) return "–";
  if (magnitude < 999.5) return String(Math.round(value));
  for (const [unit, size] of [
    ["k", 1e3],
    ["M", 1e6],
    ["G", 1e9],
    ["T", 1e12],
  ]) {
    const scaled = value / size;
    if (Math.abs(scaled) < 999.5) {
      const digits = Math.abs(scaled) < 9.995 ? 2 : Math.abs(scaled) < 99.95 ? 1 : 0;
      return `${scaled.toFixed(digits)} ${unit}`;
    }
  }
  return value.toExponential(2);
}

/** Decimals that suit the size: 0.0012, 0.873, 41.2, 412, 12.4 k. */
export function decimal(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  const magnitude = Math.abs(value);
  if (magnitude >= 999.5 || (Number.isInteger(value) && magnitude < 1000)) return short(value);
  if (magnitude > 0 && magnitude < 0.001) return value.toExponential(1);
  if (magnitude < 0.1) return value.toFixed(4);
  return value.toFixed(magnitude < 10 ? 3 : magnitude < 100 ? 2 : 1);
}

export const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);
export const percent = (share) => (Number.isFinite(share) ? `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %` : "–");

/** 0.4 s, 42 s, 3 min, 2 h 5 min */
export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 100) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 48 * 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export const clock = (ms) =>
  new Date(ms).toLocaleString(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
