/** A list of tokens with a form that makes one, whose secret is shown once. */
import { Button, Form, Modal, type TableColumnsType } from 'antd';
import { type ReactNode, useState } from 'react';
import { useAction } from '../kit/actions';
import { List } from '../kit/ListPage';
import { type LoadedQuery, Nothing } from '../kit/Page';
import { Secret } from './Secret';

/** What a form needs: to be closed, and to hand on the secret of what it has made. */
export interface Ends {
  close: () => void;
  made: (secret: string) => void;
}

interface TokensProps<T> {
  noun: string;
  query: LoadedQuery<T[]>;
  columns: TableColumnsType<T>;
  /** What a token of this kind is for. */
  advice: string;
  form: (ends: Ends) => ReactNode;
  /** The title under which a secret is shown, and the command that uses it. */
  secretTitle: string;
  lineOf?: (secret: string) => string;
}

export function Tokens<T extends object>(props: TokensProps<T>) {
  const { noun, query, columns, advice, form, secretTitle, lineOf } = props;
  const [making, setMaking] = useState(false);
  const [secret, setSecret] = useState('');
  return (
    <>
      <List<T>
        noun={noun}
        query={query}
        actions={
          <Button type="primary" onClick={() => setMaking(true)}>
            New {noun}
          </Button>
        }
        rowKey="id"
        columns={columns}
        empty={<Nothing why={`There is no ${noun}.`}>{advice}</Nothing>}
      />
      {making && form({ close: () => setMaking(false), made: setSecret })}
      {secret && <Secret title={secretTitle} token={secret} line={lineOf?.(secret)} close={() => setSecret('')} />}
    </>
  );
}

interface NewTokenProps extends Ends {
  title: string;
  /** Whether the fields are filled in. */
  ready?: boolean;
  request: () => Promise<{ token: string }>;
  children: ReactNode;
}

/** The form of a new token around its fields. */
export function NewToken({ title, ready = true, request, close, made, children }: NewTokenProps) {
  const [act, busy] = useAction();
  const save = async () => {
    const found = await act(request);
    if (!found) return;
    close();
    made(found.token);
  };
  return (
    <Modal
      open
      title={title}
      okText="Create"
      confirmLoading={busy}
      okButtonProps={{ disabled: !ready }}
      onCancel={close}
      onOk={() => void save()}
    >
      <Form layout="vertical">{children}</Form>
    </Modal>
  );
}
