/** What modules cost over time, and the rows they make: one module by node, or one node by module. */
import { Card, Col, Row } from 'antd';
import type { ReactNode } from 'react';
import { NODE, ofNode, overSql, spanOf } from '../kit/over';
import type { Range } from '../kit/ranges';
import { SqlChart } from '../kit/SqlChart';
import { text } from '../kit/sql';

interface ModuleCostProps {
  title: string;
  module?: string;
  node?: { gid: number; nid: number };
  range: Range;
  choice?: ReactNode;
  empty: string;
}

const CHARTS = [
  { caption: 'CPU, kernel', unit: 'ratio', value: 'sum(kernel_time) / sum(interval)' },
  { caption: 'CPU, agent', unit: 'ratio', value: 'sum(agent_time) / sum(interval)' },
  { caption: 'Rows per second', unit: '', value: 'sum(rows) / (sum(interval) / 1e9)' },
  { caption: 'Memory in the kernel', unit: 'bytes', value: 'avg(memory)' },
];

export function ModuleCost({ title, module, node, range, choice, empty }: ModuleCostProps) {
  const over = {
    table: 'module_usage',
    where: module === undefined ? ofNode(node ?? { gid: 0, nid: 0 }) : `module = ${text(module)}`,
    by: module === undefined ? 'module' : NODE,
    ...spanOf(range),
  };
  return (
    <Card size="small" title={title} extra={choice}>
      <Row gutter={[16, 16]}>
        {CHARTS.map(({ caption, unit, value }) => (
          <Col key={caption} xs={24} lg={12}>
            <SqlChart
              sql={overSql(over, { '': value })}
              nodes={module !== undefined}
              unit={unit}
              caption={caption}
              label={`${caption} over time`}
              empty={empty}
            />
          </Col>
        ))}
      </Row>
    </Card>
  );
}
