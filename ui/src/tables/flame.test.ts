import { describe, expect, it } from 'vitest';
import { type Box, boxAt, boxesOf, boxOf, layersOf, pathOf } from './flame';

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

describe('boxes that are found again', () => {
  const boxes = boxesOf([
    [['c', 'b', 'a'], 2],
    [['d', 'b', 'a'], 3],
    [['e'], 5],
  ]);
  const layers = layersOf(boxes);
  const named = (name: string) => boxes.find((box) => box.name === name) as Box;
  it('by place: the box that covers it', () => {
    expect(layers.map((layer) => layer.length)).toEqual([1, 2, 1, 2]);
    expect(boxAt(layers[1], 4.9)?.name).toBe('a');
    expect(boxAt(layers[1], 5)?.name).toBe('e');
    expect(boxAt(layers[3], 2)?.name).toBe('d');
    expect(boxAt(layers[3], 7)).toBeUndefined();
    expect(boxAt(layers[9], 1)).toBeUndefined();
  });
  it('by path, in other stacks too; else the nearest caller', () => {
    expect(pathOf(boxes, named('d'))).toEqual(['a', 'b', 'd']);
    expect(boxOf(boxes, ['a', 'b', 'd'])).toBe(named('d'));
    const later = boxesOf([[['x', 'b', 'a'], 9]]);
    expect(boxOf(later, ['a', 'b', 'd'])?.name).toBe('b');
    expect(boxOf(later, [])?.name).toBe('all');
  });
});
