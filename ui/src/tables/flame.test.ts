import { expect, it } from 'vitest';
import { boxesOf } from './flame';

it('puts callees on their callers, with the weights added', () => {
  const boxes = boxesOf([
    [['c', 'b', 'a'], 3],
    [['b', 'a'], 2],
    [['d', 'a'], 1],
  ]);
  expect(boxes.map(({ name, depth, at, weight }) => [name, depth, at, weight])).toEqual([
    ['all', 0, 0, 6],
    ['a', 1, 0, 6],
    ['b', 2, 0, 5],
    ['c', 3, 0, 3],
    ['d', 2, 5, 1],
  ]);
});
