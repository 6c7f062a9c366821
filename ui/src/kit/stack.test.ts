import { describe, expect, it } from 'vitest';
import { stacked } from './stack';

describe('stacked', () => {
  it('adds up from the first to the last', () =>
    expect(
      stacked([
        [1, 2, null],
        [3, null, null],
        [5, 6, null],
      ]),
    ).toEqual([
      [1, 2, null],
      [4, 2, null],
      [9, 8, null],
    ]));
  it('has nothing to add up', () => expect(stacked([])).toEqual([]));
});
