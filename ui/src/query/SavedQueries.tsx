/** The saved queries of all users, and an offer to share those that are saved in this browser only. */
import { DeleteOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Alert, App, Button, Drawer, Flex, Input, Typography } from 'antd';
import { useState } from 'react';
import { useAction } from '../kit/actions';
import { api, take } from '../kit/api';
import { Ago } from '../kit/bits';
import { useRole } from '../kit/login';
import { Loaded, Nothing } from '../kit/Page';
import { savedQueriesQuery } from '../kit/queries';
import { matching, type SavedQuery } from './saved';
import { forget, unshared } from './store';

const SHOWN_LETTERS = 160;

interface SavedQueriesProps {
  open: (query: Pick<SavedQuery, 'name' | 'sql'> & Partial<SavedQuery>) => void;
  close: () => void;
}

export function SavedQueries({ open, close }: SavedQueriesProps) {
  const query = useQuery(savedQueriesQuery);
  const [text, setText] = useState('');
  const may = useRole('operator');
  return (
    <Drawer open title="Saved queries" size={560} onClose={close}>
      <Flex vertical gap={12}>
        <Unshared open={open} may={may} />
        <Input
          allowClear
          autoFocus
          aria-label="Text to find in saved queries"
          placeholder="Name, table, person"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <Loaded query={query}>
          {(queries) => {
            const found = matching(queries, text);
            if (!queries.length)
              return <Nothing why="No query is saved.">Write one, and save it for all users.</Nothing>;
            if (!found.length) return <Nothing why="No saved query matches.">Remove a part of the text.</Nothing>;
            return found.map((each) => <Item key={each.name} query={each} may={may} open={() => open(each)} />);
          }}
        </Loaded>
      </Flex>
    </Drawer>
  );
}

function Item({ query, may, open }: { query: SavedQuery; may: boolean; open: () => void }) {
  return (
    <Flex justify="space-between" align="start" gap={8}>
      <div style={{ minWidth: 0 }}>
        <Button type="link" style={{ padding: 0, height: 'auto', whiteSpace: 'normal' }} onClick={open}>
          {query.name}
        </Button>
        {query.description && <div>{query.description}</div>}
        <div className="mono" style={{ overflowWrap: 'anywhere' }}>
          {query.sql.slice(0, SHOWN_LETTERS)}
          {query.sql.length > SHOWN_LETTERS && '…'}
        </div>
        <Typography.Text type="secondary">
          changed by {query.changed_by} <Ago time={query.last_update_time} />
        </Typography.Text>
      </div>
      {may && <Remove name={query.name} />}
    </Flex>
  );
}

function Remove({ name }: { name: string }) {
  const [act, busy] = useAction();
  const { modal } = App.useApp();
  const ask = () =>
    modal.confirm({
      title: `Remove the saved query ${name}?`,
      content: 'It is removed for all users.',
      okText: 'Remove',
      okButtonProps: { danger: true },
      onOk: () =>
        act(
          () => take(api.DELETE('/api/v1/saved-queries/{name}', { params: { path: { name } } })),
          'The query is removed.',
        ),
    });
  return (
    <Button type="text" danger icon={<DeleteOutlined />} loading={busy} aria-label={`Remove ${name}`} onClick={ask} />
  );
}

/** Queries of this browser only: each can be opened, and an operator can share them. */
function Unshared({ open, may }: { open: SavedQueriesProps['open']; may: boolean }) {
  const [own, setOwn] = useState(unshared);
  const [act, busy] = useAction();
  const names = Object.keys(own);
  const share = async () => {
    for (const name of names) {
      const params = { path: { name } };
      const body = { sql: own[name] ?? '' };
      if (await act(() => take(api.PUT('/api/v1/saved-queries/{name}', { params, body })))) forget(name);
    }
    setOwn(unshared());
  };
  if (!names.length) return null;
  return (
    <Alert
      type="info"
      title="Saved in this browser only"
      description={names.map((name) => (
        <Button key={name} type="link" size="small" onClick={() => open({ name: '', sql: own[name] ?? '' })}>
          {name}
        </Button>
      ))}
      action={
        may && (
          <Button size="small" loading={busy} onClick={() => void share()}>
            Share with all users
          </Button>
        )
      }
    />
  );
}
