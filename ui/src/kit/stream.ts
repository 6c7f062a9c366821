/** Server-sent events of the API: read with fetch, resumed after the last event, and asked again with a backoff. */
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { ApiError, fetchFailed, problemOf, streamProblem } from './api';

export type StreamState = 'connecting' | 'live' | 'lost' | 'ended';

export interface Following {
  /** Return the address, given the id of the last event that was received, "" before the first. */
  url: (lastId: string) => string;
  onEvent: (event: EventSourceMessage) => void;
  onState: (state: StreamState, error?: Error) => void;
  signal: AbortSignal;
  /** The id of the event to resume after. */
  from?: string;
  /** Wait this many milliseconds; tests pass their own. */
  wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/** Return how long to wait before the given attempt (0, 1, …): full jitter below a bound that doubles. */
export function backoffMs(attempt: number, random = Math.random()): number {
  return random * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt);
}

/**
 * Follow a stream until its event `end`, an error that waiting cannot mend, or the signal. The server ends a stream with the
 * event `problem` when the login or the token has ended.
 */
export async function follow({ url, onEvent, onState, signal, from = '', wait = sleep }: Following): Promise<void> {
  let lastId = from;
  let attempt = 0;
  while (!signal.aborted) {
    let ended = false;
    let problem: ApiError | undefined;
    try {
      onState('connecting');
      const response = await fetch(url(lastId), {
        headers: { Accept: 'text/event-stream', ...(lastId ? { 'Last-Event-ID': lastId } : {}) },
        signal,
      });
      if (!response.ok || !response.body) throw await problemOf(response);
      onState('live');
      const parser = createParser({
        onEvent: (event) => {
          attempt = 0;
          if (event.id) lastId = event.id;
          if (event.event === 'end') ended = true;
          else if (event.event === 'problem') problem = streamProblem(event.data);
          else onEvent(event);
        },
      });
      const text = response.body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>);
      const reader = text.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        parser.feed(value);
        if (problem) throw problem;
      }
      if (ended) return onState('ended');
      onState('lost');
    } catch (raised) {
      if (signal.aborted) return;
      const error = fetchFailed(raised);
      if (error instanceof ApiError && !error.passing) return onState('ended', error);
      onState('lost', error instanceof Error ? error : new Error(String(error)));
    }
    await wait(backoffMs(attempt++), signal);
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const stop = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener('abort', stop, { once: true });
  });
}
