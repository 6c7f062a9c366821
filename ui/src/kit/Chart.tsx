/** Series over time, drawn by uPlot in the colours of the theme. */
import { theme } from 'antd';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { bytes, clock, moment, short } from './format';
import { stacked } from './stack';

export interface Series {
  name: string;
  /** One value for each of the chart's times; null where there is none. */
  values: (number | null)[];
}

interface ChartProps {
  /** Seconds since the epoch, ascending. */
  times: number[];
  series: Series[];
  unit?: string;
  height?: number;
  /** Draw each series on top of those before. */
  stack?: boolean;
  label: string;
}

export const COLOURS = ['#3c89e8', '#49aa19', '#d89614', '#d32029', '#854eca', '#13a8a8', '#cb2b83', '#8c8c8c'];

/** Units that an axis has room for; others are in the legend. */
const SHORT_UNITS = new Set(['bytes', '%', 'ratio', 's']);

function written(value: number, unit: string): string {
  if (unit === 'bytes') return bytes(value);
  if (unit === '%') return `${short(value)} %`;
  if (unit === 'ratio') return `${short(value * 100)} %`;
  return unit ? `${short(value)} ${unit}` : short(value);
}

/** Return what a time is called on an axis whose ticks are `step` seconds apart. */
function timeAt(time: number, step: number): string {
  if (step >= 86_400) return moment(time).slice(0, 10);
  if (step >= 21_600) return moment(time).slice(5, 16);
  return step >= 60 ? clock(time).slice(0, 5) : clock(time);
}

function dataOf(times: number[], series: Series[], stack: boolean): uPlot.AlignedData {
  const values = series.map((each) => each.values);
  return [times, ...(stack ? stacked(values) : values)];
}

export function Chart({ times, series, unit = '', height = 180, stack = false, label }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const { token } = theme.useToken();
  const drawn = useRef<uPlot>(null);
  const shown = useRef(series);
  shown.current = series;
  const names = series.map((each) => each.name).join('\0');
  // biome-ignore lint/correctness/useExhaustiveDependencies: new values are set on the chart that is there, below
  useEffect(() => {
    if (!place.current) return;
    const axis = {
      stroke: token.colorTextSecondary,
      grid: { stroke: token.colorBorderSecondary, width: 1 },
      ticks: { show: false },
    };
    const plot = new uPlot(
      {
        width: place.current.clientWidth,
        height,
        axes: [
          { ...axis, space: 70, values: (_, ticks, __, ___, step) => ticks.map((tick) => timeAt(tick, step)) },
          {
            ...axis,
            size: 72,
            values: (_, ticks) => ticks.map((tick) => written(tick, SHORT_UNITS.has(unit) ? unit : '')),
          },
        ],
        scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
        cursor: { y: false },
        legend: { live: true },
        bands: stack ? series.slice(1).map((_, index) => ({ series: [index + 2, index + 1] })) : [],
        series: [
          { value: (_, time) => (time == null ? 'newest' : clock(time)) },
          ...series.map((each, index) => ({
            label: each.name,
            stroke: COLOURS[index % COLOURS.length],
            width: 1.5,
            fill: stack || series.length === 1 ? `${COLOURS[index % COLOURS.length]}${stack ? '66' : '22'}` : undefined,
            points: { show: times.length < 3 },
            value: (_: uPlot, __: number | null, ___: number, at: number | null) => {
              const values = shown.current[index]?.values;
              const value = at == null ? values?.at(-1) : values?.[at];
              return value == null ? '' : written(value, unit);
            },
          })),
        ],
      },
      dataOf(times, series, stack),
      place.current,
    );
    drawn.current = plot;
    const observer = new ResizeObserver(([entry]) => entry && plot.setSize({ width: entry.contentRect.width, height }));
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [names, unit, height, stack, token]);
  useEffect(() => {
    drawn.current?.setData(dataOf(times, series, stack));
  }, [times, series, stack]);
  return <div ref={place} role="img" aria-label={label} style={{ color: token.colorText, minHeight: height }} />;
}
