/** The saved query that is open in the editor. Its name is in the address; alone there, it is read and shown. */
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { api, take } from '../kit/api';
import type { Opened, SavedQuery } from './saved';

type Shown = Pick<SavedQuery, 'name' | 'sql'> & Partial<SavedQuery>;

interface Address {
  sql?: string;
  saved?: string;
}

/**
 * Return what is open, and functions that open a query, or note that one was saved. `show` puts a query into the editor
 * and the address, `name` only its name into the address.
 */
export function useOpened(address: Address, show: (query: Shown) => void, name: (name: string) => void) {
  const [seen, setSeen] = useState<Opened>();
  const named = address.saved ?? '';
  const query = useQuery({
    queryKey: ['saved-query', named],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/saved-queries/{name}', { signal, params: { path: { name: named } } })),
    enabled: !!named && !address.sql,
    retry: false,
  });
  const open = (opened: Shown) => {
    if (opened.version) setSeen({ name: opened.name, version: opened.version });
    show(opened);
  };
  const found = named && !address.sql ? query.data : undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a query is opened once, when it is there
  useEffect(() => {
    if (found) open(found);
  }, [found]);
  const saved = (made: SavedQuery) => {
    setSeen({ name: made.name, version: made.version });
    if (address.sql) name(made.name);
  };
  // after a reload the address has a name, and nobody knows which version was seen
  const opened = named ? (seen?.name === named ? seen : { name: named, version: '' }) : undefined;
  return { opened, open, saved, missing: named && !address.sql ? query.error : null };
}
