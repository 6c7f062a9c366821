import { describe, expect, it } from 'vitest';
import { type Choice, filterRows } from './filter';

const rows = [
  { name: 'web', on: true },
  { name: 'Web worker', on: false },
  { name: 'db', on: true },
];
const text = (row: (typeof rows)[0]) => row.name;
const choices: Choice<(typeof rows)[0]>[] = [{ value: 'off', matches: (row) => !row.on }];
const names = (filter: { q?: string; state?: string }) => filterRows(rows, filter, { text, choices }).map(text);

describe('filterRows', () => {
  it('leaves all rows without a filter', () => expect(names({})).toHaveLength(3));
  it('finds words in any order and case', () => {
    expect(names({ q: 'WEB' })).toEqual(['web', 'Web worker']);
    expect(names({ q: ' worker  web ' })).toEqual(['Web worker']);
  });
  it('leaves the rows of a choice', () => {
    expect(names({ state: 'off' })).toEqual(['Web worker']);
    expect(names({ state: 'off', q: 'db' })).toEqual([]);
  });
  it('takes a choice that is not offered for none', () => expect(names({ state: 'old' })).toHaveLength(3));
  it('does not search where a list has no text', () =>
    expect(filterRows(rows, { q: 'db', state: 'off' }, { choices })).toHaveLength(1));
});
