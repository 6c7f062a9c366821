/** Series on top of each other. */

type Values = (number | null)[];

/** Return the series as sums of themselves and those before; a time at which no series has a value stays without one. */
export function stacked(series: Values[]): Values[] {
  const sums = (series[0] ?? []).map(() => 0);
  const known = sums.map((_, at) => series.some((values) => values[at] != null));
  return series.map((values) =>
    values.map((value, at) => {
      sums[at] = (sums[at] ?? 0) + (value ?? 0);
      return known[at] ? (sums[at] ?? 0) : null;
    }),
  );
}
