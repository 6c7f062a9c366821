/** CPU and memory of services over time, from their stats: of one service by node, or of one node by service. */
import { Card, Col, Row } from 'antd';
import type { ReactNode } from 'react';
import { NODE, ofNode, overSql } from './over';
import { RANGES, type Range, stepOf } from './ranges';
import { SqlChart } from './SqlChart';
import { text } from './sql';

/** Programs are measured this often by default, in seconds. */
const MEASURED_S = 30;

interface UsageProps {
  service?: string;
  node?: { gid: number; nid: number };
  range: Range;
  title: string;
  choice?: ReactNode;
}

export function Usage({ service, node, range, title, choice }: UsageProps) {
  const of = service === undefined ? ofNode(node ?? { gid: 0, nid: 0 }) : `name = ${text(service)}`;
  const chart = (stat: string, unit: string, label: string) => (
    <Col xs={24} lg={12}>
      <SqlChart
        sql={overSql(
          {
            table: 'stats',
            where: `cmd = 'service' AND endsWith(key, ${text(`.${stat}`)}) AND ${of}`,
            seconds: RANGES[range],
            step: stepOf(range, MEASURED_S),
            by: service === undefined ? 'name' : NODE,
          },
          { '': 'avg(value)' },
        )}
        nodes={service !== undefined}
        unit={unit}
        caption={label}
        label={`${label} over time`}
        empty={`Programs are measured every ${MEASURED_S} seconds while they run.`}
      />
    </Col>
  );
  return (
    <Card size="small" title={title} extra={choice}>
      <Row gutter={[16, 16]}>
        {chart('_cpu_', '%', 'CPU')}
        {chart('_rss_', 'bytes', 'Memory')}
      </Row>
    </Card>
  );
}
