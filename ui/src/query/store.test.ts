import { describe, expect, it } from 'vitest';
import { forget, history, remember, unshared } from './store';

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
  it('reads and removes what was saved in the browser only', () => {
    const store = memory();
    store.items.set('quarterdeck.queries.saved', '{"x": "SELECT 1", "y": "SELECT 2"}');
    forget('x', store);
    expect(unshared(store)).toEqual({ y: 'SELECT 2' });
  });
  it('forgets what it cannot read', () => {
    const store = memory();
    store.items.set('quarterdeck.queries.history', '{');
    expect(history(store)).toEqual([]);
  });
});
