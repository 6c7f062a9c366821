/** The form that saves a query for all. It says whose query it replaces, and never replaces a version it has not shown. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Alert, Form, Input, Modal, Segmented } from 'antd';
import { useState } from 'react';
import { useAction } from '../kit/actions';
import { api, take } from '../kit/api';
import { Ago } from '../kit/bits';
import { savedQueriesQuery } from '../kit/queries';
import { type Opened, replaced, type SavedQuery } from './saved';

interface SaveQueryProps {
  sql: string;
  view: SavedQuery['view'];
  opened: Opened | undefined;
  done: (saved: SavedQuery) => void;
  close: () => void;
}

export function SaveQuery({ sql, view: shown, opened, done, close }: SaveQueryProps) {
  const queries = useQuery(savedQueriesQuery).data;
  const client = useQueryClient();
  const [name, setName] = useState(opened?.name ?? '');
  const [written, setWritten] = useState<string>();
  const [view, setView] = useState(shown);
  const [act, busy] = useAction();
  const there = replaced(queries ?? [], name, opened);
  const description = written ?? there?.query.description ?? '';
  const save = async () => {
    if (busy || !queries || !name.trim()) return;
    const body = { sql, description, view, replaces: there?.query.version ?? '' };
    const path = { name: name.trim() };
    const saved = await act(
      () => take(api.PUT('/api/v1/saved-queries/{name}', { params: { path }, body })),
      'The query is saved.',
    );
    if (saved) {
      done(saved);
      close();
    } else await client.invalidateQueries({ queryKey: savedQueriesQuery.queryKey }); // another may have changed it
  };
  return (
    <Modal
      open
      title="Save for all users"
      okText={there ? 'Replace' : 'Save'}
      okButtonProps={{ disabled: !name.trim() || !queries, loading: busy }}
      onCancel={close}
      onOk={() => void save()}
    >
      <Form layout="vertical">
        <Form.Item label="Name" htmlFor="query-name">
          <Input
            id="query-name"
            autoFocus
            maxLength={253}
            value={name}
            onChange={(event) => setName(event.target.value)}
            onPressEnter={() => void save()}
          />
        </Form.Item>
        <Form.Item label="What it tells" htmlFor="query-description">
          <Input
            id="query-description"
            maxLength={1000}
            value={description}
            onChange={(event) => setWritten(event.target.value)}
            onPressEnter={() => void save()}
          />
        </Form.Item>
        <Form.Item label="Show its answer as">
          <Segmented<SavedQuery['view']>
            aria-label="Show its answer as"
            value={view}
            onChange={setView}
            options={[
              { value: 'table', label: 'Table' },
              { value: 'chart', label: 'Chart' },
            ]}
          />
        </Form.Item>
        {there && (
          <Alert
            type={there.unseen ? 'warning' : 'info'}
            showIcon
            title={
              <>
                It replaces the query of this name, which {there.query.changed_by} changed{' '}
                <Ago time={there.query.last_update_time} />.
              </>
            }
            description={
              there.unseen && (
                <pre className="mono" style={{ whiteSpace: 'pre-wrap', maxHeight: 200, overflow: 'auto', margin: 0 }}>
                  {there.query.sql}
                </pre>
              )
            }
          />
        )}
      </Form>
    </Modal>
  );
}
