/**
 * Messages as a list of lines that draws only those in sight. It stays at the newest line while it is at the end; what is
 * being read never moves when lines are added.
 */
import { DownOutlined } from '@ant-design/icons';
import { useVirtualizer } from '@tanstack/react-virtual';
import { Button, theme } from 'antd';
import { useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { Shapes } from './api';
import { clock, moment } from './format';
import { levelName, shown, toneOf } from './levels';

type Message = Shapes['NodeMessage'];

const LINE_PX = 20;
const AT_END_PX = 24;

interface LinesProps {
  messages: Message[];
  height: number | string;
  /** Whether each line names its node, and its service. */
  nodes?: boolean;
  names?: boolean;
  /** The text to mark in the lines. */
  mark?: string;
  empty: React.ReactNode;
}

export function Lines({ messages, height, nodes = true, names = false, mark = '', empty }: LinesProps) {
  const place = useRef<HTMLDivElement>(null);
  const [atEnd, setAtEnd] = useState(true);
  const { token } = theme.useToken();
  const first = useRef<string>(undefined);
  const lines = useVirtualizer({
    count: messages.length,
    getScrollElement: () => place.current,
    estimateSize: () => LINE_PX,
    overscan: 20,
    getItemKey: (index) => keyOf(messages[index]),
  });
  useLayoutEffect(() => {
    const old = messages.findIndex((message) => keyOf(message) === first.current);
    if (!atEnd && old > 0 && place.current) place.current.scrollTop += old * LINE_PX; // older lines were put in front
    first.current = keyOf(messages[0]);
  }, [messages, atEnd]);
  const { length } = messages;
  useEffect(() => {
    if (atEnd && length) lines.scrollToIndex(length - 1, { align: 'end' });
  }, [length, atEnd, lines]);
  const scrolled = () => {
    const { scrollTop, clientHeight, scrollHeight } = place.current as HTMLDivElement;
    setAtEnd(scrollHeight - scrollTop - clientHeight < AT_END_PX);
  };
  const colour = {
    error: token.colorErrorText,
    warning: token.colorWarningText,
    quiet: token.colorTextTertiary,
    plain: token.colorText,
  };
  return (
    <div style={{ position: 'relative' }}>
      <section
        ref={place}
        onScroll={scrolled}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        tabIndex={0}
        aria-label="Messages"
        className="mono"
        style={{
          height,
          overflow: 'auto',
          background: token.colorBgContainer,
          border: `1px solid ${token.colorBorderSecondary}`,
          borderRadius: token.borderRadius,
        }}
      >
        {length === 0 && empty}
        <div style={{ height: lines.getTotalSize(), position: 'relative' }}>
          {lines.getVirtualItems().map((item) => {
            const message = messages[item.index] as Message;
            return (
              <div
                key={item.key}
                ref={lines.measureElement}
                data-index={item.index}
                className="line"
                style={{ transform: `translateY(${item.start}px)`, color: colour[toneOf(message.level)] }}
              >
                <time title={moment(message.epoch / 1000)} style={{ color: token.colorTextSecondary }}>
                  {clock(message.epoch / 1000, 3)}
                </time>
                {nodes && <span style={{ color: token.colorLink }}>{message.node}</span>}
                {names && <span style={{ color: token.colorTextSecondary }}>{nameOf(message)}</span>}
                {message.level !== 1 && <span>{levelName(message.level)}</span>}
                <span className="text">{marked(shown(message.data), mark)}</span>
              </div>
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
          onClick={() => lines.scrollToIndex(length - 1, { align: 'end' })}
        >
          Newest
        </Button>
      )}
    </div>
  );
}

export function keyOf(message: Message | undefined): string {
  return message ? `${message.gid}/${message.nid} ${message.epoch} ${message.id}` : '';
}

export function nameOf(message: Message): string {
  const name = message.name || message.job_id.slice(0, 8);
  return message.domain ? `${message.domain}/${name}` : name;
}

function marked(text: string, mark: string): React.ReactNode {
  if (!mark) return text;
  const parts = text.split(mark);
  // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never move
  return parts.map((part, index) => (index ? [<mark key={index}>{mark}</mark>, part] : part));
}
