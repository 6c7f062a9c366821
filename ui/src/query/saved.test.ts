import { describe, expect, it } from 'vitest';
import { matching, replaced, type SavedQuery } from './saved';

function saved(name: string, part: Partial<SavedQuery> = {}): SavedQuery {
  return {
    name,
    sql: 'SELECT 1',
    description: '',
    view: 'table',
    version: 'v1',
    actor: 'olga',
    create_time: 1,
    changed_by: 'olga',
    last_update_time: 1,
    ...part,
  };
}

describe('matching', () => {
  const queries = [
    saved('Slow starts'),
    saved('b', { sql: 'SELECT * FROM execs' }),
    saved('c', { changed_by: 'otto' }),
  ];
  const names = (text: string) => matching(queries, text).map((query) => query.name);
  it('looks at names, SQL and authors', () => {
    expect(names('SLOW')).toEqual(['Slow starts']);
    expect(names('execs')).toEqual(['b']);
    expect(names('otto')).toEqual(['c']);
  });
  it('finds all without a text', () => expect(names(' ')).toHaveLength(3));
});

describe('replaced', () => {
  const queries = [saved('a'), saved('b', { version: 'v2' })];
  it('is nothing for a new name', () => expect(replaced(queries, 'c', undefined)).toBeUndefined());
  it('was seen when that version is open', () =>
    expect(replaced(queries, ' b ', { name: 'b', version: 'v2' })).toEqual({ query: queries[1], unseen: false }));
  it('was not seen when another version or another query is open', () => {
    expect(replaced(queries, 'b', { name: 'b', version: 'v1' })?.unseen).toBe(true);
    expect(replaced(queries, 'b', { name: 'a', version: 'v2' })?.unseen).toBe(true);
    expect(replaced(queries, 'b', undefined)?.unseen).toBe(true);
  });
});
