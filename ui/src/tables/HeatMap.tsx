/** A histogram over time on a canvas: time to the right, slots upwards, the darker the more. */
import { Flex, Typography, theme } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { clock, count, short } from '../kit/format';

const ROW_PX = 12;
const AXIS_PX = 64;

/** Return the lower bound of a slot as text. */
export function boundOf(slot: number, bounds: string, unit: string): string {
  if (bounds !== 'log2') return `${slot}`;
  const low = slot === 0 ? 0 : 2 ** slot;
  if (unit === 'us')
    return low >= 1e6 ? `${short(low / 1e6)} s` : low >= 1000 ? `${short(low / 1000)} ms` : `${low} µs`;
  return `${short(low)} ${unit}`;
}

interface HeatMapProps {
  times: number[];
  slots: number[][];
  bounds: string;
  unit: string;
  label: string;
}

export function HeatMap({ times, slots, bounds, unit, label }: HeatMapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(800);
  const [over, setOver] = useState('');
  const { token } = theme.useToken();
  const used = slots.map((each) => each.findLastIndex((value) => value > 0));
  const rows = Math.max(4, ...used.map((last) => last + 1));
  const height = rows * ROW_PX;
  const top = Math.max(1, ...slots.flat());
  const wide = (width - AXIS_PX) / Math.max(1, times.length);
  useEffect(() => {
    const place = canvas.current?.parentElement;
    if (!place) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    observer.observe(place);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const drawn = canvas.current;
    const pen = drawn?.getContext('2d');
    if (!drawn || !pen) return;
    const ratio = window.devicePixelRatio || 1;
    drawn.width = width * ratio;
    drawn.height = height * ratio;
    pen.scale(ratio, ratio);
    pen.font = '10px sans-serif';
    pen.textBaseline = 'middle';
    pen.textAlign = 'right';
    for (let row = 0; row < rows; row++) {
      if (row % 3 === 0) {
        pen.fillStyle = token.colorTextSecondary;
        pen.fillText(boundOf(row, bounds, unit), AXIS_PX - 6, height - (row + 0.5) * ROW_PX);
      }
      for (let column = 0; column < times.length; column++) {
        const value = slots[column]?.[row] ?? 0;
        pen.fillStyle = value
          ? `rgba(22, 119, 255, ${0.12 + 0.88 * (Math.log1p(value) / Math.log1p(top))})`
          : token.colorFillQuaternary;
        pen.fillRect(AXIS_PX + column * wide, height - (row + 1) * ROW_PX, Math.max(1, wide - 1), ROW_PX - 1);
      }
    }
  });
  const moved = (event: React.MouseEvent) => {
    const bounds_ = (event.target as HTMLElement).getBoundingClientRect();
    const column = Math.floor((event.clientX - bounds_.left - AXIS_PX) / wide);
    const row = Math.floor((height - (event.clientY - bounds_.top)) / ROW_PX);
    const time = times[column];
    setOver(
      time === undefined
        ? ''
        : `${clock(time)}: ${count(slots[column]?.[row] ?? 0)} of ${boundOf(row, bounds, unit)} to ${boundOf(row + 1, bounds, unit)}`,
    );
  };
  return (
    <Flex vertical gap={4}>
      <div>
        <canvas
          ref={canvas}
          role="img"
          aria-label={label}
          style={{ width, height, display: 'block' }}
          onMouseMove={moved}
          onMouseLeave={() => setOver('')}
        />
      </div>
      <Typography.Text type="secondary">
        {over || `${times.length ? `${clock(times[0] ?? 0)} to ${clock(times.at(-1) ?? 0)}` : ''}`}
      </Typography.Text>
    </Flex>
  );
}
