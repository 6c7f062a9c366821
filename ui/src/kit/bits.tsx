/** Small parts of many pages: a state, a time, labels, a command line to copy. */
import { Typography } from 'antd';
import { useSyncExternalStore } from 'react';
import { ago, moment } from './format';
import { Signal } from './signal';

const COLOURS: Record<string, string> = {
  ONLINE: 'success',
  OK: 'success',
  RUNNING: 'success',
  SUCCEEDED: 'success',
  DEPLOYED: 'success',
  OFFLINE: 'error',
  FAILED: 'error',
  ERROR: 'error',
  LOST: 'error',
  TIMEOUT: 'error',
  KILLED: 'error',
  UNKNOWN_CMD: 'error',
  REFUSED: 'error',
  UNHEALTHY: 'error',
  BACKOFF: 'warning',
  EXPIRED: 'warning',
  WAITING: 'warning',
  QUEUED: 'processing',
  ACCEPTED: 'processing',
  STARTING: 'processing',
  STOPPING: 'processing',
  IN_PROGRESS: 'processing',
};

/** A state as a tag: its name, in the colour of what it means. antd's own tag takes too long where there are hundreds. */
export function State({ state, count, running }: { state: string; count?: number; running?: boolean }) {
  const colour = running && state === 'RUNNING' ? 'processing' : (COLOURS[state] ?? 'default');
  return <span className={`tag ${colour}`}>{count === undefined ? state : `${count} ${state}`}</span>;
}

/** The number of things in each state, the bad ones first. */
export function States({
  states,
  running,
}: {
  states: Partial<Record<string, number>> | undefined;
  running?: boolean;
}) {
  const order = ['error', 'warning', 'processing', 'success', 'default'];
  const rank = (state: string) => order.indexOf(COLOURS[state] ?? 'default');
  const sorted = Object.entries(states ?? {}).sort(([a], [b]) => rank(a) - rank(b));
  return sorted.map(([state, count]) => <State key={state} state={state} count={count} running={running} />);
}

let now = Date.now() / 1000;
const seconds = new Signal();
setInterval(() => {
  now = Date.now() / 1000;
  seconds.fire();
}, 1000);

/** Return the time in seconds since the epoch; the component is drawn again as it passes. */
export function useNow(): number {
  return useSyncExternalStore(seconds.subscribe, () => now);
}

/** A time in seconds since the epoch as how long ago it is; the exact time is its title. 0 is never. */
export function Ago({ time }: { time: number | null | undefined }) {
  const at = useNow();
  if (!time) return <Typography.Text type="secondary">never</Typography.Text>;
  return (
    <time dateTime={new Date(time * 1000).toISOString()} title={moment(time)}>
      {ago(time, at)}
    </time>
  );
}

export function Labels({ labels }: { labels: Record<string, string> | undefined }) {
  return Object.entries(labels ?? {}).map(([key, value]) => (
    <span key={key} className="tag default">
      {key}={value}
    </span>
  ));
}

/** A command line that can be copied. */
export function Line({ text }: { text: string }) {
  return (
    <Typography.Text code copyable={{ text }} style={{ whiteSpace: 'pre-wrap' }}>
      {text}
    </Typography.Text>
  );
}
