/** Long columns as the few points that a chart can show. */

/**
 * Rows to draw: of each of `buckets` equal stretches the lowest and the highest value, so that no spike is lost however far one
 * looks from; all rows where there are no more than two a stretch. Values that are not finite are left out.
 * @param from first row
 * @param to   row after the last
 */
export function rowsToDraw(values: Float64Array, from: number, to: number, buckets: number): number[] {
  const rows: number[] = [];
  if (to - from <= 2 * buckets) {
    for (let row = from; row < to; row++) if (Number.isFinite(values[row])) rows.push(row);
    return rows;
  }
  for (let bucket = 0; bucket < buckets; bucket++) {
    const end = from + Math.floor(((bucket + 1) * (to - from)) / buckets);
    let low = -1;
    let high = -1;
    for (let row = from + Math.floor((bucket * (to - from)) / buckets); row < end; row++) {
      const value = values[row]!;
      if (!Number.isFinite(value)) continue;
      if (low < 0 || value < values[low]!) low = row;
      if (high < 0 || value > values[high]!) high = row;
    }
    if (low < 0) continue;
    if (low === high) rows.push(low);
    else rows.push(Math.min(low, high), Math.max(low, high));
  }
  return rows;
}

/** Exponential mean with the weight of a mean over `span` values, without the pull of a start from zero. */
export function smoothed(values: Float64Array, span: number): Float64Array {
  const keep = 1 - 2 / (span + 1);
  const result = new Float64Array(values.length).fill(Number.NaN);
  let sum = 0;
  let weight = 0;
  for (let row = 0; row < values.length; row++) {
    if (!Number.isFinite(values[row])) continue;
    sum = keep * sum + values[row]!;
    weight = keep * weight + 1;
    result[row] = sum / weight;
  }
  return result;
}

/** First row whose value is at least `least`; the column must not descend. */
export function firstRowFrom(column: Float64Array, least: number): number {
  let low = 0;
  let high = column.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (column[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
