/** How many messages there were in each step of time, by their severity; a bar opens its time. */
import { Flex, theme } from 'antd';
import { memo, useMemo, useRef } from 'react';
import { useNow } from '../kit/bits';
import { count, moment, plural } from '../kit/format';
import { type Bar, histogram, type LogAddress, type timesOf } from './view';

interface HistogramProps {
  messages: Parameters<typeof histogram>[0];
  times: ReturnType<typeof timesOf>;
  change: (change: Pick<LogAddress, 'since' | 'until'>) => void;
}

/** Counts once a second, however fast messages come. */
export function Histogram({ messages, times, change }: HistogramProps) {
  const now = useNow();
  const latest = useRef({ messages, change });
  latest.current = { messages, change };
  const some = messages.length > 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the messages are those of this second
  const bars = useMemo(
    () => histogram(latest.current.messages, times.since, times.until ?? now * 1000),
    [times, now, some],
  );
  const choose = useRef((bar: Bar) => latest.current.change({ since: String(bar.since), until: String(bar.until) }));
  return <Bars bars={bars} choose={choose.current} />;
}

const Bars = memo(function Bars({ bars, choose }: { bars: Bar[]; choose: (bar: Bar) => void }) {
  const { token } = theme.useToken();
  const top = Math.max(1, ...bars.map((bar) => bar.error + bar.warning + bar.other));
  const part = (number: number, colour: string) => (
    <div style={{ height: `${(100 * number) / top}%`, background: colour }} />
  );
  return (
    <Flex gap={1} style={{ height: 56 }} role="group" aria-label="Messages over time">
      {bars.map((bar) => {
        const all = bar.error + bar.warning + bar.other;
        const told = `${moment(bar.since / 1000)}: ${plural(all, 'message')}, ${count(bar.error)} of errors, ${count(bar.warning)} of warnings`;
        return (
          <button
            key={bar.since}
            type="button"
            disabled={!all}
            title={all ? told : undefined}
            aria-label={told}
            onClick={() => choose(bar)}
            style={{
              flex: 1,
              display: 'flex',
              flexDirection: 'column',
              justifyContent: 'flex-end',
              border: 0,
              padding: 0,
              background: token.colorFillQuaternary,
              cursor: all ? 'pointer' : 'default',
            }}
          >
            {part(bar.error, token.colorError)}
            {part(bar.warning, token.colorWarning)}
            {part(bar.other, token.colorPrimary)}
          </button>
        );
      })}
    </Flex>
  );
});
