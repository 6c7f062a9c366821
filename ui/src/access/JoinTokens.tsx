/** Join tokens: the list, and the form whose answer is the command for the new host. */
import { useQuery } from '@tanstack/react-query';
import { Button, Flex, Form, Input, Modal, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Ago, Labels } from '../kit/bits';
import { Loaded, Nothing } from '../kit/Page';
import { serverQuery } from '../kit/queries';
import { Rows } from '../kit/Rows';
import { parseSelector } from '../kit/selector';
import { joinLine } from './join';
import { Revoke } from './Revoke';
import { Secret } from './Secret';

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
  const [making, setMaking] = useState(false);
  const [secret, setSecret] = useState('');
  return (
    <Flex vertical gap={12}>
      <div>
        <Button type="primary" onClick={() => setMaking(true)}>
          New join token
        </Button>
      </div>
      <Loaded query={query}>
        {(tokens) => (
          <Rows
            rowKey="id"
            columns={COLUMNS}
            dataSource={tokens}
            empty={<Nothing why="There is no join token.">Make one for each host that is to join.</Nothing>}
          />
        )}
      </Loaded>
      {making && <NewToken close={() => setMaking(false)} made={setSecret} />}
      {secret && (
        <Secret
          title="Join a host"
          token={secret}
          line={joinLine(secret, server?.link ?? '', location.hostname)}
          close={() => setSecret('')}
        />
      )}
    </Flex>
  );
}

function NewToken({ close, made }: { close: () => void; made: (secret: string) => void }) {
  const [labels, setLabels] = useState('');
  const [act, busy] = useAction();
  const save = async () => {
    const found = await act(() =>
      take(api.POST('/api/v1/tokens/join', { body: { labels: parseSelector(labels).labels ?? {} } })),
    );
    if (!found) return;
    close();
    made(found.token);
  };
  return (
    <Modal open title="New join token" okText="Create" confirmLoading={busy} onCancel={close} onOk={() => void save()}>
      <Form layout="vertical">
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
      </Form>
    </Modal>
  );
}
