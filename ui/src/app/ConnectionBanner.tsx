/** A lost connection is shown, asked for again, and heals: then everything on the page is read again. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Alert } from 'antd';
import { useEffect, useRef } from 'react';
import { ApiError, api, take } from '../kit/api';

const EVERY_MS = 5000;
const LOST_EVERY_MS = 1500;

export function ConnectionBanner() {
  const queries = useQueryClient();
  const alive = useQuery({
    queryKey: ['alive'],
    queryFn: ({ signal }) => take(api.GET('/healthz', { signal })),
    refetchInterval: (query) => (query.state.error ? LOST_EVERY_MS : EVERY_MS),
    refetchIntervalInBackground: false,
    networkMode: 'always',
    retry: false,
  });
  const lost = alive.error instanceof ApiError;
  const was = useRef(false);
  useEffect(() => {
    if (was.current && !lost) void queries.invalidateQueries();
    was.current = lost;
  }, [lost, queries]);
  if (!lost) return null;
  return (
    <Alert
      banner
      type="warning"
      role="status"
      title="The connection to the server is lost. What you see is from before; it is asked again by itself."
    />
  );
}
