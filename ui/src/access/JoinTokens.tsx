/** Join tokens: the list, and the form whose answer is the command for the new host. */
import { useQuery } from '@tanstack/react-query';
import { Form, Input, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { api, type Shapes, take } from '../kit/api';
import { Ago, Labels } from '../kit/bits';
import { serverQuery } from '../kit/queries';
import { parseSelector } from '../kit/selector';
import { joinLine } from './join';
import { Revoke } from './Revoke';
import { type Ends, NewToken, Tokens } from './Tokens';

type Token = Shapes['JoinToken'];

const COLUMNS: TableColumnsType<Token> = [
  { title: 'Id', dataIndex: 'id', width: 200, ellipsis: true },
  { title: 'Labels', width: 200, render: (_, token) => <Labels labels={token.labels} /> },
  { title: 'Replaces', width: 100, render: (_, token) => (token.nid == null ? '' : `${token.gid}/${token.nid}`) },
  { title: 'Created', width: 120, render: (_, token) => <Ago time={token.created_at} /> },
  { title: 'Ends', width: 120, render: (_, token) => <Ago time={token.expires_at} /> },
  { title: 'Used', width: 120, render: (_, token) => <Ago time={token.used_at} /> },
  {
    title: '',
    width: 100,
    render: (_, token) =>
      !token.used_at && (
        <Revoke
          what="this join token"
          request={() =>
            take(api.DELETE('/api/v1/tokens/join/{token_id}', { params: { path: { token_id: token.id } } }))
          }
        />
      ),
  },
];

export function JoinTokens() {
  const query = useQuery({
    queryKey: ['tokens', 'join'],
    queryFn: ({ signal }) => take(api.GET('/api/v1/tokens/join', { signal })),
  });
  const server = useQuery(serverQuery).data;
  return (
    <Tokens<Token>
      noun="join token"
      query={query}
      columns={COLUMNS}
      advice="Make one for each host that is to join."
      form={(ends) => <NewJoinToken {...ends} />}
      secretTitle="Join a host"
      lineOf={(secret) => joinLine(secret, server?.link ?? '', location.hostname)}
    />
  );
}

function NewJoinToken(ends: Ends) {
  const [labels, setLabels] = useState('');
  const request = () => take(api.POST('/api/v1/tokens/join', { body: { labels: parseSelector(labels).labels ?? {} } }));
  return (
    <NewToken {...ends} title="New join token" request={request}>
      <Form.Item
        label="Labels of the node"
        htmlFor="join-labels"
        extra="As in role=web zone=b. The token works once, for an hour."
      >
        <Input
          id="join-labels"
          className="mono"
          autoFocus
          value={labels}
          onChange={(event) => setLabels(event.target.value)}
        />
      </Form.Item>
    </NewToken>
  );
}
