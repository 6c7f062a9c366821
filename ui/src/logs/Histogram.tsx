/** How many messages there were in each step of time, by their severity; a bar opens its time. */
import { Flex, theme } from 'antd';
import { count, moment, plural } from '../kit/format';
import type { Bar } from './view';

export function Histogram({ bars, choose }: { bars: Bar[]; choose: (bar: Bar) => void }) {
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
}
