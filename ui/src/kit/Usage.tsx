/** CPU and memory of services over time, from their stats: of one service by node, or of one node by service. */
import { useQuery } from '@tanstack/react-query';
import { Card, Col, Row, Skeleton } from 'antd';
import { type ReactNode, useMemo } from 'react';
import { Chart } from './Chart';
import { Failure, Nothing } from './Page';
import { nodesQuery, rowsQuery } from './queries';
import { RANGES, type Range, stepOf } from './ranges';
import { seriesOf } from './series';
import { text } from './sql';

interface UsageProps {
  service?: string;
  node?: { gid: number; nid: number };
  range: Range;
  choice: ReactNode;
}

function statement(stat: string, { service, node, range }: Omit<UsageProps, 'choice'>): string {
  const step = stepOf(range, 30);
  const by = service === undefined ? 'name' : "concat(toString(gid), '/', toString(nid))";
  const where = service === undefined ? `gid = ${node?.gid} AND nid = ${node?.nid}` : `name = ${text(service)}`;
  return (
    `SELECT toStartOfInterval(time, INTERVAL ${step} SECOND) AS at, ${by} AS what, avg(value) AS used FROM stats ` +
    `WHERE cmd = 'service' AND endsWith(key, ${text(`.${stat}`)}) AND ${where} AND time > now() - INTERVAL ${RANGES[range]} SECOND ` +
    'GROUP BY at, what ORDER BY at'
  );
}

export function Usage(props: UsageProps) {
  return (
    <Card size="small" title="CPU and memory" extra={props.choice}>
      <Row gutter={[16, 16]}>
        <Col xs={24} lg={12}>
          <UsageChart {...props} stat="_cpu_" unit="%" label="CPU" />
        </Col>
        <Col xs={24} lg={12}>
          <UsageChart {...props} stat="_rss_" unit="bytes" label="Memory" />
        </Col>
      </Row>
    </Card>
  );
}

function UsageChart({ stat, unit, label, ...of }: UsageProps & { stat: string; unit: string; label: string }) {
  const rows = useQuery(rowsQuery(statement(stat, of), 15_000));
  const nodes = useQuery(nodesQuery).data;
  const chart = useMemo(() => {
    const names = new Map(nodes?.map((node) => [`${node.gid}/${node.nid}`, node.name]));
    return rows.data && seriesOf(rows.data.rows.map(([at, what, used]) => [at, names.get(String(what)) ?? what, used]));
  }, [rows.data, nodes]);
  if (rows.error && !chart) return <Failure error={rows.error} retry={() => void rows.refetch()} />;
  if (!chart) return <Skeleton active />;
  if (!chart.times.length)
    return (
      <Nothing why={`${label}: nothing was measured in this time.`}>
        Programs are measured every 30 seconds while they run.
      </Nothing>
    );
  return (
    <figure style={{ margin: 0 }}>
      <figcaption style={{ marginBottom: 4 }}>{label}</figcaption>
      <Chart times={chart.times} series={chart.series} unit={unit} label={`${label} over time`} />
    </figure>
  );
}
