/** Rows of (time, name, value) as the series of a chart. */
import type { Series } from './Chart';

export interface Chart {
  times: number[];
  series: Series[];
}

/** Return a time of an answer in seconds since the epoch: ISO 8601, or a number. */
export function timeOf(value: unknown): number {
  return typeof value === 'number' ? value : Date.parse(String(value)) / 1000;
}

/** Return the series of rows [time, name, value], the largest of at most `most` first; the others are left out. */
export function seriesOf(rows: unknown[][], most = 8): Chart {
  const times = [...new Set(rows.map((row) => timeOf(row[0])))].sort((a, b) => a - b);
  const at = new Map(times.map((time, index) => [time, index]));
  const found = new Map<string, { values: (number | null)[]; total: number }>();
  for (const [time, name, value] of rows) {
    const key = String(name);
    const series = found.get(key) ?? { values: times.map(() => null), total: 0 };
    found.set(key, series);
    series.values[at.get(timeOf(time)) ?? 0] = Number(value);
    series.total += Math.abs(Number(value));
  }
  const largest = [...found].sort(([, a], [, b]) => b.total - a.total).slice(0, most);
  return { times, series: largest.map(([name, { values }]) => ({ name, values })) };
}

/** Return the series of these names, in their order. */
export function ordered(series: Series[], names: string[]): Series[] {
  return names.flatMap((name) => series.filter((each) => each.name === name));
}
