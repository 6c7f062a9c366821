/** The list of tables. */
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Input, type TableColumnsType } from 'antd';
import type { Shapes } from '../kit/api';
import { Ago } from '../kit/bits';
import { bytes, count } from '../kit/format';
import { Loaded, Nothing, Page } from '../kit/Page';
import { tablesQuery } from '../kit/queries';
import { Rows } from '../kit/Rows';
import { useAddress } from '../kit/search';

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
  { title: 'What it has', render: (_, info) => info.table.description },
  {
    title: 'Of the module',
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
  const [view, change] = useAddress<'q'>();
  const navigate = useNavigate();
  const wanted = (view.q ?? '').toLowerCase();
  return (
    <Page title="Tables">
      <Input
        allowClear
        style={{ width: 260 }}
        placeholder="Name, module, description"
        aria-label="Text to find"
        value={view.q ?? ''}
        onChange={(event) => change({ q: event.target.value })}
      />
      <Loaded query={query}>
        {(tables) => (
          <Rows<Info>
            rowKey={(info) => info.table.name}
            columns={COLUMNS}
            width={960}
            dataSource={tables.filter(({ table }) =>
              `${table.name} ${table.module ?? ''} ${table.description ?? ''}`.toLowerCase().includes(wanted),
            )}
            open={(info) => void navigate({ to: '/tables/$table', params: { table: info.table.name } })}
            empty={
              <Nothing why="No table is named like this.">
                Modules bring tables of their own: <Link to="/modules">deploy one</Link>.
              </Nothing>
            }
          />
        )}
      </Loaded>
    </Page>
  );
}
