/**
 * Messages as a list of lines that draws only those in sight. It stays at the newest line while it is at the end; what is
 * being read never moves when lines are added.
 */
import { DownOutlined } from '@ant-design/icons';
import { useVirtualizer } from '@tanstack/react-virtual';
import { Button, theme } from 'antd';
import { type CSSProperties, memo, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { NumberedMessage } from './backlog';
import { clock, moment } from './format';
import { levelName, shown, toneOf } from './levels';

const LINE_PX = 20;
const AT_END_PX = 24;
/** Lines that are drawn beyond those in sight: the browser scrolls up to so far before others are drawn. */
const OVERSCAN = 30;

interface LinesProps {
  messages: NumberedMessage[];
  height: number | string;
  /** Whether each line names its node, and its service. */
  nodes?: boolean;
  names?: boolean;
  /** The text to mark in the lines. */
  mark?: string;
  /** Called with whether older lines are being read, when that changes. */
  onReading?: (reading: boolean) => void;
  empty: React.ReactNode;
}

export function Lines({ messages, height, nodes = true, names = false, mark = '', onReading, empty }: LinesProps) {
  const place = useRef<HTMLElement>(null);
  const [atEnd, setAtEnd] = useState(true);
  const { token } = theme.useToken();
  const { length } = messages;
  const lines = useVirtualizer({
    count: length,
    getScrollElement: () => place.current,
    estimateSize: () => LINE_PX,
    getItemKey: useCallback((index: number) => messages[index]?.number ?? 0, [messages]),
    overscan: OVERSCAN,
    anchorTo: 'end',
    followOnAppend: true,
    scrollEndThreshold: AT_END_PX,
    directDomUpdates: true,
    directDomUpdatesMode: 'position',
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: a list that begins with lines begins at its end
  useLayoutEffect(() => lines.scrollToEnd(), []);
  useEffect(() => onReading?.(!atEnd), [atEnd, onReading]);
  const scrolled = () => {
    const { scrollTop, clientHeight, scrollHeight } = place.current as HTMLElement;
    setAtEnd(scrollHeight - scrollTop - clientHeight < AT_END_PX);
  };
  const colours = {
    '--error': token.colorErrorText,
    '--warning': token.colorWarningText,
    '--quiet': token.colorTextTertiary,
    '--plain': token.colorText,
    '--secondary': token.colorTextSecondary,
    '--link': token.colorLink,
  } as CSSProperties;
  return (
    <div style={{ position: 'relative' }}>
      <section
        ref={place}
        onScroll={scrolled}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        tabIndex={0}
        aria-label="Messages"
        className="mono lines"
        style={{
          ...colours,
          height,
          background: token.colorBgContainer,
          border: `1px solid ${token.colorBorderSecondary}`,
          borderRadius: token.borderRadius,
        }}
      >
        {length === 0 && empty}
        <div ref={lines.containerRef} style={{ position: 'relative' }}>
          {lines.getVirtualItems().map((item) => {
            const message = messages[item.index];
            return (
              message && (
                <div key={item.key} ref={lines.measureElement} data-index={item.index} className="line">
                  <Line message={message} nodes={nodes} names={names} mark={mark} />
                </div>
              )
            );
          })}
        </div>
      </section>
      {!atEnd && (
        <Button
          type="primary"
          shape="round"
          size="small"
          icon={<DownOutlined />}
          style={{ position: 'absolute', right: 24, bottom: 12 }}
          onClick={() => lines.scrollToEnd()}
        >
          Newest
        </Button>
      )}
    </div>
  );
}

interface LineProps {
  message: NumberedMessage;
  nodes: boolean;
  names: boolean;
  mark: string;
}

const Line = memo(function Line({ message, nodes, names, mark }: LineProps) {
  const { epoch, level } = message;
  return (
    <>
      <time title={moment(epoch / 1000)}>{clock(epoch / 1000, 3)}</time>
      {nodes && <span className="node">{message.node}</span>}
      {names && <span className="name">{nameOf(message)}</span>}
      {level !== 1 && <span className={toneOf(level)}>{levelName(level)}</span>}
      <span className={`text ${toneOf(level)}`}>{marked(shown(message.data), mark)}</span>
    </>
  );
});

export function nameOf(message: { name?: string; domain?: string; job_id: string }): string {
  const name = message.name || message.job_id.slice(0, 8);
  return message.domain ? `${message.domain}/${name}` : name;
}

function marked(text: string, mark: string): React.ReactNode {
  if (!mark) return text;
  const parts = text.split(mark);
  // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never move
  return parts.map((part, index) => (index ? [<mark key={index}>{mark}</mark>, part] : part));
}
