/** The messages of a view: those there are, older ones on request, and new ones as they come. */
import { useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useReducer, useRef, useState } from 'react';
import { api, type Shapes, take } from '../kit/api';
import { Backlog } from '../kit/backlog';
import { useLive } from '../kit/live';
import { filterQuery, type LogAddress, streamUrl, timesOf } from './view';

const PAGE = 1000;
/** Only so many messages are kept in the page: the oldest leave while new ones come. */
export const KEPT = 100_000;
/** While older messages are being read, none leaves before there are so many; then new ones wait at the server. */
export const HELD = 2 * KEPT;

interface Kept {
  page: Shapes['FoundMessages'] | undefined;
  backlog: Backlog;
  /** Where the stream goes on after the last message that was received. */
  resume: string;
}

function begin(page: Shapes['FoundMessages'] | undefined): Kept {
  const backlog = new Backlog();
  backlog.append([...(page?.messages ?? [])].reverse(), KEPT);
  return { page, backlog, resume: page?.resume ?? '' };
}

/** `following`: new messages are wanted. `reading`: the newest message is not in sight. */
export function useMessages(view: LogAddress, { following, reading }: { following: boolean; reading: boolean }) {
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
  const [, draw] = useReducer((number: number) => number + 1, 0);
  const [cursor, setCursor] = useState<string | null>();
  const [problems, setProblems] = useState<string[]>([]);
  const [error, setError] = useState<unknown>();
  const { data } = first;
  const begun = useRef<Kept>(undefined);
  if (!begun.current || begun.current.page !== data) begun.current = begin(data); // another first page begins anew
  const kept = begun.current;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another first page begins anew
  useEffect(() => {
    setError(undefined);
    setCursor(data?.cursor);
    setProblems([...(data?.problems ?? [])]);
  }, [data, key]);
  const loadOlder = async () => {
    if (!cursor) return;
    try {
      const page = await take(api.GET('/api/v1/messages', { params: { query: { ...query, cursor } } }));
      if (!kept.backlog.left) kept.backlog.prepend([...page.messages].reverse()); // else there would be a gap
      setCursor(page.cursor);
    } catch (raised) {
      setError(raised);
    }
  };
  const { backlog } = kept;
  const full = reading && backlog.messages.length >= HELD;
  const wanted = following && !full && !times.until && !!data;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a stream keeps its address while it is followed
  const url = useMemo(() => (wanted ? streamUrl(view, kept.resume) : ''), [wanted, kept]);
  const live = useLive(url, (events) => {
    const pages = events.map((event) => JSON.parse(event.data) as Shapes['FoundMessages']);
    const problem = pages.findLast((page) => page.problems?.length);
    if (problem) setProblems([...(problem.problems ?? [])]);
    const newer = pages.flatMap((page) => page.messages);
    backlog.append(newer, reading ? Number.POSITIVE_INFINITY : KEPT);
    kept.resume = pages.at(-1)?.resume || kept.resume;
    draw();
  });
  const { messages, left } = backlog;
  const more = !!cursor && !left && messages.length < KEPT;
  return { first, messages, left, full, problems, live, times, more, loadOlder, error };
}
