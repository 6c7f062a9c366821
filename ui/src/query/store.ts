/** Queries that this browser remembers: the last ones that ran, and those that were saved under a name. */
const HISTORY = 'quarterdeck.queries.history';
const SAVED = 'quarterdeck.queries.saved';
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

export function saved(store: Store = localStorage): Record<string, string> {
  return read<Record<string, string>>(SAVED, {}, store);
}

/** Save a query under a name; "" for the query removes the name. */
export function saveAs(name: string, sql: string, store: Store = localStorage): void {
  const { [name]: _, ...others } = saved(store);
  store.setItem(SAVED, JSON.stringify(sql ? { ...others, [name]: sql } : others));
}
