/** API tokens: the list, and the form that makes one. */
import { useQuery } from '@tanstack/react-query';
import { Form, Input, InputNumber, Segmented, type TableColumnsType, Tag } from 'antd';
import { useState } from 'react';
import { api, type Shapes, take } from '../kit/api';
import { Ago } from '../kit/bits';
import type { Role } from '../kit/login';
import { Revoke } from './Revoke';
import { type Ends, NewToken, Tokens } from './Tokens';

type Token = Shapes['ApiToken'];

const ROLE_COLOURS: Record<Role, string> = { viewer: 'default', operator: 'processing', admin: 'warning' };
const DAY_S = 86_400;

const COLUMNS: TableColumnsType<Token> = [
  { title: 'Name', dataIndex: 'name', width: 180 },
  { title: 'Role', width: 110, render: (_, token) => <Tag color={ROLE_COLOURS[token.role]}>{token.role}</Tag> },
  { title: 'Created', width: 130, render: (_, token) => <Ago time={token.created_at} /> },
  { title: 'Ends', width: 130, render: (_, token) => <Ago time={token.expires_at} /> },
  { title: 'Id', dataIndex: 'id', width: 200, ellipsis: true },
  {
    title: '',
    width: 100,
    render: (_, token) => (
      <Revoke
        what={`the token ${token.name}`}
        request={() => take(api.DELETE('/api/v1/tokens/api/{token_id}', { params: { path: { token_id: token.id } } }))}
      />
    ),
  },
];

export function ApiTokens() {
  const query = useQuery({
    queryKey: ['tokens', 'api'],
    queryFn: ({ signal }) => take(api.GET('/api/v1/tokens/api', { signal })),
  });
  return (
    <Tokens<Token>
      noun="API token"
      query={query}
      columns={COLUMNS}
      advice="Make one for a person or a program."
      form={(ends) => <NewApiToken {...ends} />}
      secretTitle="The new API token"
    />
  );
}

function NewApiToken(ends: Ends) {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('viewer');
  const [days, setDays] = useState<number | null>(null);
  const body = { name: name.trim(), role, ...(days ? { expires_s: days * DAY_S } : {}) };
  return (
    <NewToken
      {...ends}
      title="New API token"
      ready={!!body.name}
      request={() => take(api.POST('/api/v1/tokens/api', { body }))}
    >
      <Form.Item label="Name" htmlFor="token-name" extra="The audit log names it.">
        <Input id="token-name" autoFocus value={name} onChange={(event) => setName(event.target.value)} />
      </Form.Item>
      <Form.Item label="Role" extra="A viewer reads, an operator also changes, an admin also manages tokens and nodes.">
        <Segmented<Role> value={role} onChange={setRole} options={['viewer', 'operator', 'admin']} />
      </Form.Item>
      <Form.Item label="Ends after days" htmlFor="token-days">
        <InputNumber id="token-days" min={1} placeholder="never" value={days} onChange={setDays} />
      </Form.Item>
    </NewToken>
  );
}
