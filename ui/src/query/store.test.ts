import { describe, expect, it } from 'vitest';
import { history, remember, saveAs, saved } from './store';

function memory() {
  const items = new Map<string, string>();
  return {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    items,
  };
}

describe('queries that are remembered', () => {
  it('has each once, the newest first', () => {
    const store = memory();
    for (const sql of ['a', 'b', 'a']) remember(sql, store);
    expect(history(store)).toEqual(['a', 'b']);
  });
  it('saves and removes names', () => {
    const store = memory();
    saveAs('x', 'SELECT 1', store);
    saveAs('y', 'SELECT 2', store);
    saveAs('x', '', store);
    expect(saved(store)).toEqual({ y: 'SELECT 2' });
  });
  it('forgets what it cannot read', () => {
    const store = memory();
    store.items.set('quarterdeck.queries.history', '{');
    expect(history(store)).toEqual([]);
  });
});
