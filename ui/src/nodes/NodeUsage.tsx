/** What a node uses over time: its CPUs, memory, disks and network, its modules, and its services. */
import { Card, Col, Flex, Row } from 'antd';
import { useMemo } from 'react';
import type { Shapes } from '../kit/api';
import { USAGE_S } from '../kit/over';
import { RangeChoice } from '../kit/RangeChoice';
import { rangeOf } from '../kit/ranges';
import { SqlChart } from '../kit/SqlChart';
import { useAddress } from '../kit/search';
import { Usage } from '../kit/Usage';
import { ModuleCost } from '../modules/ModuleCost';
import { usageCharts } from './usage';

export function NodeUsage({ node }: { node: Shapes['Node'] }) {
  const [view, change] = useAddress<'range'>();
  const range = rangeOf(view.range);
  const { gid, nid } = node;
  const charts = useMemo(() => usageCharts({ gid, nid }, range), [gid, nid, range]);
  const offline = node.state === 'OFFLINE' ? 'The node is offline: what it measures arrives when it is back. ' : '';
  const usual = `The agent measures every ${USAGE_S} seconds, unless its setting [agent.usage] interval_s is 0.`;
  return (
    <Flex vertical gap={16}>
      <Card
        size="small"
        title="Host"
        extra={<RangeChoice value={range} onChange={(chosen) => change({ range: chosen })} />}
      >
        <Row gutter={[16, 16]}>
          {charts.map(({ caption, empty, ...chart }) => (
            <Col key={caption} xs={24} lg={12}>
              <SqlChart
                {...chart}
                caption={caption}
                label={`${caption} over time`}
                empty={`${offline}${empty || usual}`}
              />
            </Col>
          ))}
        </Row>
      </Card>
      <ModuleCost title="Modules" node={node} range={range} empty={`${offline}No module ran, or none was measured.`} />
      <Usage title="Services" node={node} range={range} />
    </Flex>
  );
}
