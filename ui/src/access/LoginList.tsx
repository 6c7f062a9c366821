/** The browsers that are signed in. */
import { useQuery } from '@tanstack/react-query';
import type { TableColumnsType } from 'antd';
import { api, type Shapes, take } from '../kit/api';
import { Ago } from '../kit/bits';
import { List } from '../kit/ListPage';
import { Nothing } from '../kit/Page';
import { Revoke } from './Revoke';

type Login = Shapes['Login'];

const COLUMNS: TableColumnsType<Login> = [
  { title: 'Token', dataIndex: 'name', width: 140 },
  { title: 'Role', dataIndex: 'role', width: 100 },
  { title: 'From', dataIndex: 'address', width: 140 },
  { title: 'Browser', dataIndex: 'agent', width: 320, ellipsis: true },
  { title: 'Since', width: 110, render: (_, login) => <Ago time={login.create_time} /> },
  { title: 'Seen', width: 110, render: (_, login) => <Ago time={login.seen_at} /> },
  { title: 'Ends', width: 110, render: (_, login) => <Ago time={login.expires_at} /> },
  {
    title: '',
    width: 110,
    render: (_, login) => (
      <Revoke
        word="Sign out"
        what={`${login.name} from ${login.address}`}
        request={() => take(api.DELETE('/api/v1/logins/{login}', { params: { path: { login: login.id } } }))}
      />
    ),
  },
];

export function LoginList() {
  const query = useQuery({
    queryKey: ['logins'],
    queryFn: ({ signal }) => take(api.GET('/api/v1/logins', { signal })),
    refetchInterval: 10_000,
  });
  return (
    <List<Login>
      noun="login"
      query={query}
      rowKey="id"
      columns={COLUMNS}
      width={1050}
      empty={<Nothing why="No browser is signed in." />}
    />
  );
}
