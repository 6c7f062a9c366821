import { describe, expect, it } from 'vitest';
import { ordered, seriesOf } from './series';

describe('seriesOf', () => {
  const rows = [
    ['2026-01-01T00:00:10Z', 'a', 1],
    ['2026-01-01T00:00:00Z', 'b', 5],
    ['2026-01-01T00:00:10Z', 'b', '6'],
  ];
  it('aligns the series on their times, the largest first', () => {
    const { times, series } = seriesOf(rows);
    expect(times).toEqual([1767225600, 1767225610]);
    expect(series).toEqual([
      { name: 'b', values: [5, 6] },
      { name: 'a', values: [null, 1] },
    ]);
  });
  it('leaves the smallest out', () => expect(seriesOf(rows, 1).series.map((each) => each.name)).toEqual(['b']));
  it('is put into another order', () =>
    expect(ordered(seriesOf(rows).series, ['a', 'c', 'b']).map((each) => each.name)).toEqual(['a', 'b']));
});
