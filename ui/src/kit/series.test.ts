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

it('takes the values of the largest series only', () => {
  const rows = Array.from({ length: 20_000 }, (_, index) => [index, `order ${index}`, index]);
  const chart = seriesOf(rows, 2);
  expect(chart.series.map((series) => series.name)).toEqual(['order 19999', 'order 19998']);
  expect(chart.series[0]?.values.filter((value) => value !== null)).toEqual([19_999]);
});
