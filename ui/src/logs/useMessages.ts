/** The messages of a view: those there are, older ones on request, and new ones as they come. */
import { useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';
import { api, type Shapes, take } from '../kit/api';
import { keyOf } from '../kit/Lines';
import { useLive } from '../kit/live';
import { filterQuery, type LogAddress, streamUrl, timesOf } from './view';

type Message = Shapes['NodeMessage'];

const PAGE = 1000;
/** Only so many messages are kept in the page: older ones leave while new ones come. */
const KEPT = 100_000;

export function useMessages(view: LogAddress, following: boolean) {
  const key = JSON.stringify(view);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the same view keeps its times while it is shown
  const times = useMemo(() => timesOf(view, Date.now()), [key]);
  const query = { ...filterQuery(view), ...times, limit: PAGE, newest: true };
  const first = useQuery({
    queryKey: ['messages', key, times],
    queryFn: ({ signal }) => take(api.GET('/api/v1/messages', { signal, params: { query } })),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const [older, setOlder] = useState<Message[]>([]);
  const [newer, setNewer] = useState<Message[]>([]);
  const [cursor, setCursor] = useState<string | null>();
  const [problems, setProblems] = useState<string[]>([]);
  const [error, setError] = useState<unknown>();
  const seen = useRef(new Set<string>());
  // biome-ignore lint/correctness/useExhaustiveDependencies: another first page begins anew
  useEffect(() => {
    setOlder([]);
    setNewer([]);
    setError(undefined);
    setCursor(first.data?.cursor);
    setProblems([...(first.data?.problems ?? [])]);
    seen.current = new Set(first.data?.messages.map(keyOf));
  }, [first.data, key]);
  const loadOlder = async () => {
    if (!cursor) return;
    try {
      const page = await take(api.GET('/api/v1/messages', { params: { query: { ...query, cursor } } }));
      setOlder((old) => [...[...page.messages].reverse(), ...old]);
      setCursor(page.cursor);
    } catch (raised) {
      setError(raised);
    }
  };
  const url = following && first.data && !times.until ? streamUrl(view, first.data.resume ?? '') : '';
  const live = useLive(url, (events) => {
    const added: Message[] = [];
    for (const event of events) {
      const found = JSON.parse(event.data) as Shapes['FoundMessages'];
      if (found.problems?.length) setProblems([...found.problems]);
      for (const message of found.messages) {
        const name = keyOf(message);
        if (!seen.current.has(name)) added.push(message);
        seen.current.add(name);
      }
    }
    if (added.length) setNewer((old) => [...old, ...added].slice(-KEPT));
  });
  const messages = useMemo(
    () => [...older, ...[...(first.data?.messages ?? [])].reverse(), ...newer].slice(-KEPT),
    [older, first.data, newer],
  );
  return { first, messages, problems, live, times, more: !!cursor, loadOlder, error };
}
