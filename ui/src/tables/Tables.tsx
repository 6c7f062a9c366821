/** The list of tables. */
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import type { TableColumnsType } from 'antd';
import type { Shapes } from '../kit/api';
import { Ago } from '../kit/bits';
import { bytes, count } from '../kit/format';
import { ListPage } from '../kit/ListPage';
import { Nothing } from '../kit/Page';
import { tablesQuery } from '../kit/queries';

type Info = Shapes['TableInfo'];

const COLUMNS: TableColumnsType<Info> = [
  {
    title: 'Table',
    width: 180,
    render: (_, info) => (
      <Link to="/tables/$table" params={{ table: info.table.name }}>
        {info.table.name}
      </Link>
    ),
  },
  { title: 'What its rows are', render: (_, info) => info.table.description },
  {
    title: 'Module',
    width: 160,
    render: (_, info) =>
      info.table.module && (
        <Link to="/modules/$module" params={{ module: info.table.module }}>
          {info.table.module}
        </Link>
      ),
  },
  {
    title: 'Rows',
    width: 120,
    align: 'right',
    render: (_, info) => count(info.rows),
    sorter: (a, b) => a.rows - b.rows,
  },
  {
    title: 'On disk',
    width: 110,
    align: 'right',
    render: (_, info) => bytes(info.bytes),
    sorter: (a, b) => a.bytes - b.bytes,
  },
  { title: 'Newest', width: 120, render: (_, info) => <Ago time={info.newest} /> },
];

export function Tables() {
  const query = useQuery(tablesQuery);
  const navigate = useNavigate();
  return (
    <ListPage<Info>
      title="Tables"
      noun="table"
      query={query}
      find={{
        text: ({ table }) => `${table.name} ${table.module ?? ''} ${table.description ?? ''}`,
        hint: 'Name, module, description',
      }}
      rowKey={(info) => info.table.name}
      columns={COLUMNS}
      width={960}
      open={(info) => void navigate({ to: '/tables/$table', params: { table: info.table.name } })}
      empty={
        <Nothing why="There is no table.">
          Modules bring tables of their own: <Link to="/modules">deploy one</Link>.
        </Nothing>
      }
    />
  );
}
