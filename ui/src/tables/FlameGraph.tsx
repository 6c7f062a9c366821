/** A flame graph on a canvas, callers above what they call: a click shows a box in full width, the text finds boxes. */
import { Button, Flex, Input, Typography, theme } from 'antd';
import { useEffect, useMemo, useRef, useState } from 'react';
import { count } from '../kit/format';
import { type Box, boxAt, boxesOf, boxOf, firstAfter, layersOf, pathOf } from './flame';

const ROW_PX = 18;
const LEAST_PX = 0.5;
const NAME_PX = 34;

export function FlameGraph({ stacks, unit, label }: { stacks: [string[], number][]; unit: string; label: string }) {
  const boxes = useMemo(() => boxesOf(stacks), [stacks]);
  const canvas = useRef<HTMLCanvasElement>(null);
  const layers = useMemo(() => layersOf(boxes), [boxes]);
  const [zoom, setZoom] = useState<string[]>([]); // the path, which new stacks may have too
  const [find, setFind] = useState('');
  const [over, setOver] = useState<Box>();
  const [width, setWidth] = useState(800);
  const { token } = theme.useToken();
  useEffect(() => {
    const place = canvas.current?.parentElement;
    if (!place) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    observer.observe(place);
    return () => observer.disconnect();
  }, []);
  const base = useMemo(() => boxOf(boxes, zoom) as Box, [boxes, zoom]);
  const scale = width / Math.max(1, base.weight);
  const height = layers.length * ROW_PX;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the rest follows from these; a moving pointer draws nothing
  useEffect(() => {
    const drawn = canvas.current;
    const pen = drawn?.getContext('2d');
    if (!drawn || !pen) return;
    const ratio = window.devicePixelRatio || 1;
    drawn.width = width * ratio;
    drawn.height = height * ratio;
    pen.scale(ratio, ratio);
    pen.font = '11px ui-monospace, "DejaVu Sans Mono", monospace';
    pen.textBaseline = 'middle';
    const end = base.at + base.weight;
    const wanted = find.toLowerCase();
    for (const layer of layers) {
      for (let index = firstAfter(layer, base.at); index < layer.length; index++) {
        const box = layer[index] as Box;
        if (box.at >= end) break;
        if (box.weight * scale <= LEAST_PX) continue;
        const left = Math.max(0, (box.at - base.at) * scale);
        const wide = Math.min(width, (box.at + box.weight - base.at) * scale) - left;
        const top = box.depth * ROW_PX;
        pen.fillStyle = wanted && box.name.toLowerCase().includes(wanted) ? '#b37feb' : colourOf(box.name);
        pen.fillRect(left, top, Math.max(0.5, wide - 0.5), ROW_PX - 1);
        if (wide > NAME_PX) {
          pen.fillStyle = '#1f1f1f';
          pen.fillText(cut(box.name, wide), left + 3, top + ROW_PX / 2);
        }
      }
    }
  }, [layers, base, width, find]);
  const pointed = (event: React.MouseEvent) => {
    const bounds = (event.target as HTMLElement).getBoundingClientRect();
    const row = Math.floor((event.clientY - bounds.top) / ROW_PX);
    return boxAt(layers[row], base.at + (event.clientX - bounds.left) / scale);
  };
  const total = boxes[0]?.weight ?? 0;
  const told = over ?? base;
  return (
    <Flex vertical gap={8}>
      <Flex gap={8} align="center" wrap>
        <Input
          allowClear
          size="small"
          style={{ width: 200 }}
          placeholder="Mark functions"
          aria-label="Mark functions"
          value={find}
          onChange={(event) => setFind(event.target.value)}
        />
        <Button size="small" disabled={!zoom.length} onClick={() => setZoom([])}>
          Show all
        </Button>
        <Typography.Text className="mono" ellipsis style={{ flex: 1 }}>
          {told.name}: {count(told.weight)} {unit} ({((100 * told.weight) / Math.max(1, total)).toFixed(1)} %)
        </Typography.Text>
      </Flex>
      <div style={{ maxHeight: 520, overflow: 'auto', background: token.colorBgContainer }}>
        <canvas
          ref={canvas}
          role="img"
          aria-label={label}
          style={{ width, height, display: 'block', cursor: 'pointer' }}
          onMouseMove={(event) => setOver(pointed(event))}
          onMouseLeave={() => setOver(undefined)}
          onClick={(event) => {
            const box = pointed(event);
            setZoom(box ? pathOf(boxes, box) : []);
          }}
        />
      </div>
    </Flex>
  );
}

function cut(name: string, width: number): string {
  const letters = Math.floor((width - 6) / 6.7);
  return name.length <= letters ? name : `${name.slice(0, Math.max(0, letters - 1))}…`;
}

/** Return a warm colour that is always the same for a name. */
function colourOf(name: string): string {
  let hash = 0;
  for (let index = 0; index < name.length; index++) hash = (hash * 31 + name.charCodeAt(index)) | 0;
  return `hsl(${20 + (Math.abs(hash) % 35)} 85% ${62 + (Math.abs(hash >> 8) % 14)}%)`;
}
