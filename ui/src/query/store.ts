/** Queries that this browser remembers: the last ones that ran, and those that were saved here before all were shared. */
const HISTORY = 'quarterdeck.queries.history';
const UNSHARED = 'quarterdeck.queries.saved';
const REMEMBERED = 50;

export type Store = Pick<Storage, 'getItem' | 'setItem'>;

function read<T>(key: string, none: T, store: Store): T {
  try {
    return (JSON.parse(store.getItem(key) ?? 'null') as T) ?? none;
  } catch {
    return none; // what another version wrote is forgotten
  }
}

export function history(store: Store = localStorage): string[] {
  return read<string[]>(HISTORY, [], store);
}

/** Put a query first; one that was there before moves. */
export function remember(sql: string, store: Store = localStorage): void {
  store.setItem(HISTORY, JSON.stringify([sql, ...history(store).filter((each) => each !== sql)].slice(0, REMEMBERED)));
}

/** Return the SQL of the queries that are saved in this browser only, by name. */
export function unshared(store: Store = localStorage): Record<string, string> {
  return read<Record<string, string>>(UNSHARED, {}, store);
}

/** Remove a query that is saved in this browser only. */
export function forget(name: string, store: Store = localStorage): void {
  const { [name]: _, ...others } = unshared(store);
  store.setItem(UNSHARED, JSON.stringify(others));
}
