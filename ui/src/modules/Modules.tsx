/** The catalogue of modules. */
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { type TableColumnsType, Tag, Typography } from 'antd';
import type { Shapes } from '../kit/api';
import { Line, State, States } from '../kit/bits';
import { ListPage } from '../kit/ListPage';
import { Nothing } from '../kit/Page';
import { instancesQuery, modulesQuery } from '../kit/queries';
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
          <Tag style={{ marginInlineEnd: 4 }}>{name}</Tag>
        </Link>
      )),
  },
];

export function Modules() {
  const instances = useQuery(instancesQuery).data ?? [];
  const rowOf = (module: Shapes['Module']): Row => {
    const states: Record<string, number> = {};
    for (const { module_id, status } of instances)
      if (module_id === module.id) states[status.state] = (states[status.state] ?? 0) + 1;
    return { ...module, states };
  };
  const query = useQuery({ ...modulesQuery, select: (modules) => modules.map(rowOf) });
  const navigate = useNavigate();
  return (
    <ListPage<Row>
      title="Modules"
      noun="module"
      query={query}
      find={{ text: (row) => `${row.name} ${row.build.manifest.description ?? ''}`, hint: 'Name, description' }}
      choices={[
        {
          value: 'deployed',
          label: 'Deployed',
          matches: (row) => row.desire_state === 'DEPLOYED',
          none: 'No module is deployed.',
        },
        {
          value: 'failed',
          label: 'Failed',
          matches: (row) => (row.states.FAILED ?? 0) > 0,
          none: 'No module has failed.',
        },
      ]}
      rowKey="id"
      columns={COLUMNS}
      width={1150}
      open={(row) => void navigate({ to: '/modules/$module', params: { module: row.name } })}
      empty={
        <Nothing why="There is no module.">
          Create one with <Line text="qd module create" />.
        </Nothing>
      }
    />
  );
}
