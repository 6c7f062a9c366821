/** What a view of the logs shows, as its address has it, and the requests that it makes of that. */
import type { Shapes } from '../kit/api';
import { toneOf } from '../kit/levels';
import { RANGES, rangeOf } from '../kit/ranges';
import { selectorQuery } from '../kit/selector';

export interface LogAddress {
  nodes?: string;
  q?: string;
  level?: string;
  name?: string;
  domain?: string;
  job?: string;
  range?: string;
  /** Milliseconds since the epoch; with an end, nothing is followed. */
  since?: string;
  until?: string;
}

export const LOG_KEYS = ['nodes', 'q', 'level', 'name', 'domain', 'job', 'range', 'since', 'until'] as const;

/** The filters that both the search and the stream take. */
export function filterQuery(view: LogAddress) {
  return {
    ...selectorQuery(view.nodes ?? ''),
    ...(view.job ? { job: view.job } : {}),
    ...(view.name ? { name: view.name } : {}),
    ...(view.domain ? { domain: view.domain } : {}),
    ...(view.level ? { level: view.level } : {}),
    ...(view.q ? { text: view.q } : {}),
  };
}

/** Return the first and the last moment of a view in ms since the epoch; without an end it goes on. */
export function timesOf(view: LogAddress, now: number): { since: number; until?: number } {
  const since = view.since ? Number(view.since) : Math.floor(now - RANGES[rangeOf(view.range)] * 1000);
  return view.until ? { since, until: Number(view.until) } : { since };
}

/** Return the address of the stream of the messages after `resume`. */
export function streamUrl(view: LogAddress, resume: string): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(filterQuery(view)))
    for (const each of Array.isArray(value) ? value : [value]) parameters.append(key, String(each));
  if (resume) parameters.set('resume', resume);
  return `/api/v1/messages/events?${parameters}`;
}

export interface Bar {
  since: number;
  until: number;
  error: number;
  warning: number;
  other: number;
}

/** Count messages in `bars` equal steps of time from `since` to `until`, ms since the epoch. */
export function histogram(messages: Shapes['NodeMessage'][], since: number, until: number, bars = 80): Bar[] {
  const step = Math.max(1, (until - since) / bars);
  const found: Bar[] = Array.from({ length: bars }, (_, index) => ({
    since: Math.floor(since + index * step),
    until: Math.floor(since + (index + 1) * step),
    error: 0,
    warning: 0,
    other: 0,
  }));
  for (const message of messages) {
    const bar = found[Math.min(bars - 1, Math.floor((message.epoch - since) / step))];
    if (!bar) continue;
    const tone = toneOf(message.level);
    bar[tone === 'error' || tone === 'warning' ? tone : 'other'] += 1;
  }
  return found;
}

/** Return the messages as lines of text, to copy or to download. */
export function asText(messages: Shapes['NodeMessage'][]): string {
  return messages
    .map(
      (each) =>
        `${new Date(each.epoch).toISOString()} ${each.node ?? ''} ${each.name || each.job_id} ${each.level} ${each.data}\n`,
    )
    .join('');
}
