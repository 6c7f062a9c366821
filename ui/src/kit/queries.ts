/** What pages read from the API, each with its key; several pages share these. */
import { queryOptions } from '@tanstack/react-query';
import { api, type Shapes, take } from './api';

/** Lists change slowly, and have no stream: they are read again this often while they are looked at. */
const REFRESH_MS = 5000;
/** For each so many rows, a list is read that much less often. */
const PACE_ROWS = 500;

function paced(query: { state: { data?: readonly unknown[] | undefined } }): number {
  return REFRESH_MS * (1 + Math.floor((query.state.data?.length ?? 0) / PACE_ROWS));
}

export const nodesQuery = queryOptions({
  queryKey: ['nodes'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/nodes', { signal })),
  refetchInterval: paced,
});
export const servicesQuery = queryOptions({
  queryKey: ['services'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/services', { signal })),
  refetchInterval: paced,
});
export const modulesQuery = queryOptions({
  queryKey: ['modules'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/modules', { signal })),
  refetchInterval: paced,
});
export const instancesQuery = queryOptions({
  queryKey: ['instances'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/instances', { signal })),
  refetchInterval: paced,
});
export const tablesQuery = queryOptions({
  queryKey: ['tables'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/tables', { signal })),
  refetchInterval: 2 * REFRESH_MS,
});
export const schedulesQuery = queryOptions({
  queryKey: ['schedules'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/schedules', { signal })),
  refetchInterval: paced,
});
export const commandsQuery = queryOptions({
  queryKey: ['commands'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/commands', { signal, params: { query: { limit: 500 } } })),
  refetchInterval: paced,
});
/** Return a query of a script by its hash; a script never changes. */
export function scriptQuery(sha256: string) {
  return queryOptions({
    queryKey: ['script', sha256],
    queryFn: ({ signal }) => take(api.GET('/api/v1/scripts/{sha256}', { signal, params: { path: { sha256 } } })),
    enabled: sha256 !== '',
    staleTime: Number.POSITIVE_INFINITY,
  });
}
export const savedQueriesQuery = queryOptions({
  queryKey: ['saved-queries'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/saved-queries', { signal })),
});
export const serverQuery = queryOptions({
  queryKey: ['server'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/server', { signal })),
  refetchInterval: 2 * REFRESH_MS,
});

/** Return a query of rows by SQL; `every` reads them again after so many milliseconds. */
export function rowsQuery(sql: string, every?: number) {
  return queryOptions({
    queryKey: ['rows', sql],
    queryFn: ({ signal }) =>
      take(api.POST('/api/v1/query', { signal, body: { sql, max_rows: 20_000 } })) as Promise<Shapes['Answer']>,
    refetchInterval: every,
    placeholderData: (previous) => previous,
  });
}
