import { describe, expect, it } from 'vitest';
import { Answer } from './answer';

describe('overTime', () => {
  const time = { name: 'at', type: "DateTime('UTC')" };
  it('makes a series of each name', () =>
    expect(
      Answer.overTime({
        columns: [time, { name: 'who', type: 'String' }, { name: 'n', type: 'UInt64' }],
        rows: [['t', 'a', 1]],
      }),
    ).toEqual([['t', 'a', 1]]));
  it('makes a series of each number', () =>
    expect(
      Answer.overTime({
        columns: [time, { name: 'x', type: 'Float64' }, { name: 'y', type: 'Int8' }],
        rows: [['t', 1, 2]],
      }),
    ).toEqual([
      ['t', 'x', 1],
      ['t', 'y', 2],
    ]));
  it('needs a time', () =>
    expect(Answer.overTime({ columns: [{ name: 'n', type: 'UInt64' }], rows: [[1]] })).toBeUndefined());
});

describe('comparison', () => {
  const sorted = (...values: unknown[]) => {
    const compare = Answer.comparison(
      values.map((value) => [value]),
      0,
    );
    return values
      .map((_, index) => index)
      .sort(compare)
      .map((index) => values[index]);
  };
  it('orders numbers by value', () => expect(sorted(10, 9, -1, 2.5)).toEqual([-1, 2.5, 9, 10]));
  it('orders numbers in texts by value', () =>
    expect(sorted('order 10', 'Order 9', 'order 100', 'a')).toEqual(['a', 'Order 9', 'order 10', 'order 100']));
  it('orders large numbers, which are texts, by value', () =>
    expect(sorted('18446744073709551615', '9', '10')).toEqual(['9', '10', '18446744073709551615']));
  it('puts numbers before texts, and nothing before anything', () =>
    expect(sorted('b', null, 3, 'a')).toEqual([3, null, 'a', 'b']));
});
