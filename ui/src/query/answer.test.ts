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
