/** A stream of the API in a component: its events are handed over in batches while the component is shown. */

import { useQueryClient } from '@tanstack/react-query';
import type { EventSourceMessage } from 'eventsource-parser';
import { useEffect, useRef, useState } from 'react';
import { refused } from './login';
import { follow, type StreamState } from './stream';

/** Events are handed over together after so long: a fast stream draws the page at most 10 times a second. */
const FLUSH_MS = 100;

export interface Live {
  state: StreamState;
  error: Error | undefined;
}

/**
 * Follow the stream at `url`, "" for none, and hand its events to `onEvents`. A stream is resumed after its last event by
 * `Last-Event-ID`; one whose `resumeBy` is named takes the id as that query parameter instead.
 */
export function useLive(url: string, onEvents: (events: EventSourceMessage[]) => void, resumeBy = ''): Live {
  const [live, setLive] = useState<Live>({ state: 'connecting', error: undefined });
  const queries = useQueryClient();
  const take = useRef(onEvents);
  take.current = onEvents;
  useEffect(() => {
    if (!url) return;
    let control: AbortController | undefined;
    let lastId = '';
    let over = false;
    let waiting: EventSourceMessage[] = [];
    let timer = 0;
    const flush = () => {
      timer = 0;
      const events = waiting;
      waiting = [];
      take.current(events);
    };
    const start = () => {
      control = new AbortController();
      void follow({
        url: (id) => (resumeBy && id ? withParameter(url, resumeBy, id) : url),
        from: lastId,
        onEvent: (event) => {
          if (event.id) lastId = event.id;
          waiting.push(event);
          if (!timer) timer = window.setTimeout(flush, FLUSH_MS);
        },
        onState: (state, error) => {
          over = state === 'ended';
          refused(queries, error);
          setLive({ state, error });
        },
        signal: control.signal,
      });
    };
    // a browser has few connections to a server: a hidden page gives its own back, and resumes when it is seen again
    const changed = () => {
      if (document.hidden) {
        control?.abort();
        control = undefined;
      } else if (!control && !over) start();
    };
    changed();
    document.addEventListener('visibilitychange', changed);
    return () => {
      document.removeEventListener('visibilitychange', changed);
      control?.abort();
      window.clearTimeout(timer);
    };
  }, [url, resumeBy, queries]);
  return live;
}

function withParameter(url: string, name: string, value: string): string {
  const [path, query] = url.split('?');
  const parameters = new URLSearchParams(query);
  parameters.set(name, value);
  return `${path}?${parameters}`;
}
