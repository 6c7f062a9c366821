/** A chart of the rows (time, name, value) that a statement returns, read again while one looks; or why it is empty. */
import { useQuery } from '@tanstack/react-query';
import { Skeleton } from 'antd';
import { type ReactNode, useMemo } from 'react';
import { Chart } from './Chart';
import { Failure, Nothing } from './Page';
import { nodesQuery, rowsQuery } from './queries';
import { ordered, seriesOf } from './series';

const EVERY_MS = 15_000;

interface SqlChartProps {
  sql: string;
  label: string;
  unit?: string;
  height?: number;
  /** The names of series to be stacked, the lowest first; others are left out. */
  stack?: string[];
  /** Whether the names are identities of nodes, "gid/nid". */
  nodes?: boolean;
  /** Why there may be no rows, and what to do. */
  empty?: ReactNode;
  caption?: string;
}

export function SqlChart({ sql, label, unit = '', height, stack, nodes, empty, caption }: SqlChartProps) {
  const rows = useQuery(rowsQuery(sql, EVERY_MS));
  const known = useQuery({ ...nodesQuery, enabled: nodes === true }).data;
  const chart = useMemo(() => {
    const names = new Map(nodes ? known?.map((node) => [`${node.gid}/${node.nid}`, node.name]) : []);
    if (!rows.data) return undefined;
    const { times, series } = seriesOf(
      rows.data.rows.map(([at, what, value]) => [at, names.get(String(what)) ?? what, value]),
    );
    return { times, series: stack ? ordered(series, stack) : series };
  }, [rows.data, known, nodes, stack]);
  if (rows.error && !chart) return <Failure error={rows.error} retry={() => void rows.refetch()} />;
  if (!chart) return <Skeleton active />;
  if (!chart.times.length)
    return (
      <Nothing why={caption ? `${caption}: nothing was measured in this time.` : 'No row is of this time.'}>
        {empty ?? 'Look further back.'}
      </Nothing>
    );
  const drawn = (
    <Chart times={chart.times} series={chart.series} unit={unit} label={label} height={height} stack={!!stack} />
  );
  if (!caption) return drawn;
  return (
    <figure style={{ margin: 0 }}>
      <figcaption style={{ marginBottom: 4 }}>{caption}</figcaption>
      {drawn}
    </figure>
  );
}
