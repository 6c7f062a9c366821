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

/** What states mean whose names do not say it. */
const MEANINGS: Record<string, string> = {
  INIT: 'The node has not begun with it.',
  IN_PROGRESS: 'The node is starting it.',
  SUCCEEDED: 'It runs as it was asked to.',
  WAITING: 'It waits: for its node, for the services before it, or for its next run.',
  STARTING: 'It runs; whether it is healthy is not known yet.',
  UNHEALTHY: 'Its health check failed too often.',
  BACKOFF: 'It ended, and is started again after a pause.',
  STOPPED: 'It completed, or was ended on request.',
  QUEUED: 'The server has it; the node has not confirmed it yet.',
  ACCEPTED: 'The node has it and runs it soon.',
  ERROR: 'It failed: the reason says how.',
  TIMEOUT: 'It ran longer than it may.',
  KILLED: 'It was ended on request.',
  UNKNOWN_CMD: 'The node has no command of this name.',
  REFUSED: "The node's own configuration does not allow it.",
  EXPIRED: 'The node did not receive it in time.',
  LOST: 'It began, and how it ended is unknown.',
};

/** A state as a tag: its name, in the colour of what it means. antd's own tag takes too long where there are hundreds. */
export function State({ state, count, running }: { state: string; count?: number; running?: boolean }) {
  const colour = running && state === 'RUNNING' ? 'processing' : (COLOURS[state] ?? 'default');
  return (
    <span className={`tag ${colour}`} title={MEANINGS[state]}>
      {count === undefined ? state : `${count} ${state}`}
    </span>
  );
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
