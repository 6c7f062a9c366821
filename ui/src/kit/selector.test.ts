import { describe, expect, it } from 'vitest';
import { parseSelector, selectorQuery, writeSelector } from './selector';

describe('selector', () => {
  it('is every node when empty', () => expect(parseSelector('  ')).toEqual({}));
  it('reads labels, grids and names', () =>
    expect(parseSelector('role=web zone=a=b gid:2 web-1 1/7')).toEqual({
      labels: { role: 'web', zone: 'a=b' },
      gid: 2,
      nodes: ['web-1', '1/7'],
    }));
  it('writes what it reads', () => {
    for (const line of ['', 'role=web', 'gid:3', 'a=b gid:0 n1 n2'])
      expect(writeSelector(parseSelector(line))).toBe(line);
  });
  it('writes roles as labels', () => expect(writeSelector({ roles: ['db'] })).toBe('role=db'));
  it('becomes query parameters', () =>
    expect(selectorQuery('role=web web-1')).toEqual({ node: ['web-1'], on: ['role=web'] }));
});
