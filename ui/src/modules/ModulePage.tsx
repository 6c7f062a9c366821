/** One module: what it is, its instances with their reasons and cost, its tables, and the form that deploys it. */
import { RocketOutlined, StopOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { Alert, App, Button, Card, Col, Descriptions, Flex, List, Row, Typography } from 'antd';
import { useState } from 'react';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Ago, State } from '../kit/bits';
import { useRole } from '../kit/login';
import { Loaded, Nothing, Page } from '../kit/Page';
import { instancesQuery } from '../kit/queries';
import { RangeChoice } from '../kit/RangeChoice';
import { Rows } from '../kit/Rows';
import { rangeOf } from '../kit/ranges';
import { useAddress } from '../kit/search';
import { writeSelector } from '../kit/selector';
import { DeployForm } from './DeployForm';
import { InstanceDetail, type InstanceRow, instanceColumns } from './instances';
import { ModuleCost } from './ModuleCost';

type Module = Shapes['Module'];

export function ModulePage() {
  const { module } = useParams({ from: '/modules/$module' });
  const query = useQuery({
    queryKey: ['module', module],
    queryFn: ({ signal }) => take(api.GET('/api/v1/modules/{module}', { signal, params: { path: { module } } })),
    refetchInterval: 5000,
  });
  const deployed = query.data?.desire_state === 'DEPLOYED';
  return (
    <Page
      title={module}
      aside={deployed && <State state="DEPLOYED" />}
      actions={query.data && <Actions module={query.data} />}
    >
      <Loaded query={query}>{(data) => <ModuleView module={data} />}</Loaded>
    </Page>
  );
}

function Actions({ module }: { module: Module }) {
  const [deploying, setDeploying] = useState(false);
  const [act, busy] = useAction();
  const { modal } = App.useApp();
  if (!useRole('operator')) return null;
  const deployed = module.desire_state === 'DEPLOYED';
  const undeploy = () =>
    modal.confirm({
      title: `Stop ${module.name} on all nodes?`,
      content: 'Its rows are kept.',
      okText: 'Stop it',
      okButtonProps: { danger: true },
      onOk: () =>
        act(
          () => take(api.POST('/api/v1/modules/{module}/undeploy', { params: { path: { module: module.name } } })),
          'It is being stopped.',
        ),
    });
  return (
    <>
      {deployed && (
        <Button danger icon={<StopOutlined />} disabled={busy} onClick={undeploy}>
          Undeploy
        </Button>
      )}
      <Button type="primary" icon={<RocketOutlined />} onClick={() => setDeploying(true)}>
        {deployed ? 'Change' : 'Deploy'}
      </Button>
      {deploying && <DeployForm module={module} close={() => setDeploying(false)} />}
    </>
  );
}

function ModuleView({ module }: { module: Module }) {
  const instances = useQuery(instancesQuery);
  const [view, change] = useAddress<'range'>();
  const range = rangeOf(view.range);
  const { manifest, programs = [], warnings = [] } = module.build;
  const mine = instances.data?.filter((each) => each.module_id === module.id) ?? [];
  const given = Object.entries(module.settings ?? {}).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  return (
    <>
      <Typography.Paragraph style={{ margin: 0 }}>{manifest.description}</Typography.Paragraph>
      {warnings.map((warning) => (
        <Alert key={warning} type="warning" showIcon title={warning} />
      ))}
      <Row gutter={[16, 16]}>
        <Col xs={24} lg={12}>
          <Card size="small" title="What it shows: its tables" style={{ height: '100%' }}>
            <List
              size="small"
              dataSource={[...(manifest.table ?? [])]}
              renderItem={(table) => (
                <List.Item>
                  <Flex gap={8} wrap>
                    <Link to="/tables/$table" params={{ table: table.name }}>
                      {table.name}
                    </Link>
                    <Typography.Text type="secondary">{table.description}</Typography.Text>
                  </Flex>
                </List.Item>
              )}
            />
          </Card>
        </Col>
        <Col xs={24} lg={12}>
          <Card size="small" title="What is deployed" style={{ height: '100%' }}>
            <Descriptions
              column={1}
              size="small"
              items={[
                {
                  key: 'where',
                  label: 'Where',
                  children:
                    module.desire_state === 'DEPLOYED' ? writeSelector(module.selector) || 'every node' : 'nowhere',
                },
                {
                  key: 'settings',
                  label: 'Settings',
                  children: given.length ? <span className="mono">{given.join(', ')}</span> : 'the defaults',
                },
                { key: 'programs', label: 'Programs', children: <span className="mono">{programs.join(', ')}</span> },
                { key: 'origin', label: 'Origin', children: module.builtin ? 'part of the server' : 'added here' },
                { key: 'changed', label: 'Changed', children: <Ago time={module.last_update_time} /> },
              ]}
            />
          </Card>
        </Col>
      </Row>
      <Card size="small" title="Instances">
        <Rows<InstanceRow>
          rowKey="id"
          columns={instanceColumns({ module: false })}
          width={1050}
          loading={instances.isPending}
          dataSource={mine}
          expandable={{ expandedRowRender: (row) => <InstanceDetail instance={row} />, columnTitle: 'Log' }}
          empty={
            module.desire_state === 'DEPLOYED' ? (
              <Nothing why="It is deployed, and no node matches its selector.">
                It starts on nodes that join and match.
              </Nothing>
            ) : (
              <Nothing why="It runs nowhere.">
                <Flex>Deploy it to see what it shows.</Flex>
              </Nothing>
            )
          }
        />
      </Card>
      <ModuleCost
        title="Cost on each node"
        module={module.name}
        range={range}
        choice={<RangeChoice value={range} onChange={(chosen) => change({ range: chosen })} />}
        empty="It did not run, or the agents do not measure: their setting [agent.usage] interval_s is 0."
      />
    </>
  );
}
