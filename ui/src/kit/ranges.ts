/** Ranges of time that a view can look back over; the name is in the address. */
export const RANGES = { '15m': 900, '1h': 3600, '6h': 21_600, '1d': 86_400, '7d': 604_800 } as const;
export type Range = keyof typeof RANGES;

export function rangeOf(name: string | undefined): Range {
  return name && name in RANGES ? (name as Range) : '1h';
}

/** Return the width of a chart's steps in whole seconds, so that it has about 120 of them and each has samples. */
export function stepOf(range: Range, least = 10): number {
  return Math.max(least, Math.round(RANGES[range] / 120));
}
