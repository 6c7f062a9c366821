/** The catalogue of modules. */
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Flex, Input, Segmented, type TableColumnsType, Tag, Typography } from 'antd';
import type { Shapes } from '../kit/api';
import { State, States } from '../kit/bits';
import { Loaded, Nothing, Page } from '../kit/Page';
import { instancesQuery, modulesQuery } from '../kit/queries';
import { Rows } from '../kit/Rows';
import { useAddress } from '../kit/search';
import { writeSelector } from '../kit/selector';

type Row = Shapes['Module'] & { states: Record<string, number> };

const COLUMNS: TableColumnsType<Row> = [
  {
    title: 'Module',
    width: 190,
    render: (_, row) => (
      <Link to="/modules/$module" params={{ module: row.name }}>
        {row.name}
      </Link>
    ),
  },
  { title: 'What it sees', width: 360, render: (_, row) => row.build.manifest.description },
  {
    title: 'State',
    width: 130,
    render: (_, row) =>
      row.desire_state === 'DEPLOYED' ? (
        <State state="DEPLOYED" />
      ) : (
        <Typography.Text type="secondary">not deployed</Typography.Text>
      ),
  },
  { title: 'On nodes', width: 180, render: (_, row) => <States states={row.states} /> },
  {
    title: 'Where',
    width: 150,
    render: (_, row) => (row.desire_state === 'DEPLOYED' ? writeSelector(row.selector) || 'every node' : ''),
  },
  {
    title: 'Tables',
    width: 200,
    render: (_, row) =>
      row.build.manifest.table?.map(({ name }) => (
        <Link key={name} to="/tables/$table" params={{ table: name }}>
          <Tag>{name}</Tag>
        </Link>
      )),
  },
];

export function Modules() {
  const modules = useQuery(modulesQuery);
  const instances = useQuery(instancesQuery).data ?? [];
  const [view, change] = useAddress<'q' | 'state'>();
  const navigate = useNavigate();
  const wanted = (view.q ?? '').toLowerCase();
  const rowOf = (module: Shapes['Module']): Row => {
    const states: Record<string, number> = {};
    for (const { module_id, status } of instances)
      if (module_id === module.id) states[status.state] = (states[status.state] ?? 0) + 1;
    return { ...module, states };
  };
  const matches = (row: Row) =>
    `${row.name} ${row.build.manifest.description ?? ''}`.toLowerCase().includes(wanted) &&
    (view.state !== 'deployed' || row.desire_state === 'DEPLOYED') &&
    (view.state !== 'failed' || (row.states.FAILED ?? 0) > 0);
  return (
    <Page title="Modules">
      <Flex gap={8} wrap>
        <Input
          allowClear
          style={{ width: 260 }}
          placeholder="Name, description"
          aria-label="Text to find"
          value={view.q ?? ''}
          onChange={(event) => change({ q: event.target.value })}
        />
        <Segmented
          value={view.state ?? ''}
          onChange={(state) => change({ state })}
          options={[
            { value: '', label: 'All' },
            { value: 'deployed', label: 'Deployed' },
            { value: 'failed', label: 'Failed' },
          ]}
        />
      </Flex>
      <Loaded query={modules}>
        {(data) => (
          <Rows<Row>
            rowKey="id"
            columns={COLUMNS}
            width={1150}
            dataSource={data.map(rowOf).filter(matches)}
            open={(row) => void navigate({ to: '/modules/$module', params: { module: row.name } })}
            empty={
              data.length ? (
                <Nothing why="No module matches the filter.">Remove a part of it.</Nothing>
              ) : (
                <Nothing why="There is no module.">Create one with `qd module create`.</Nothing>
              )
            }
          />
        )}
      </Loaded>
    </Page>
  );
}
