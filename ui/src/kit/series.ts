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
  const places = rows.map((row) => timeOf(row[0]));
  const times = [...new Set(places)].sort((a, b) => a - b);
  const at = new Map(times.map((time, index) => [time, index]));
  const totals = new Map<string, number>();
  for (const [, name, value] of rows)
    totals.set(String(name), (totals.get(String(name)) ?? 0) + Math.abs(Number(value)));
  const largest = [...totals].sort(([, a], [, b]) => b - a).slice(0, most);
  const found = new Map(largest.map(([name]) => [name, times.map((): number | null => null)]));
  rows.forEach(([, name, value], index) => {
    const values = found.get(String(name));
    if (values) values[at.get(places[index] as number) ?? 0] = Number(value);
  });
  return { times, series: [...found].map(([name, values]) => ({ name, values })) };
}

/** Return the series of these names, in their order. */
export function ordered(series: Series[], names: string[]): Series[] {
  return names.flatMap((name) => series.filter((each) => each.name === name));
}
