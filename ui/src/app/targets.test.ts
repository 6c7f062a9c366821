import { describe, expect, it } from 'vitest';
import { rank } from './targets';

const targets = ['db-1', 'web-10', 'web-1', 'old-web'].map((name) => ({ noun: 'node', name, to: `/nodes/${name}` }));
const names = (text: string) => rank(targets, text).map((target) => target.name);

describe('rank', () => {
  it('keeps all without a text', () => expect(names(' ')).toHaveLength(4));
  it('prefers names that begin with the text, then short ones', () =>
    expect(names('WEB')).toEqual(['web-1', 'web-10', 'old-web']));
  it('finds nothing', () => expect(names('zzz')).toEqual([]));
});
