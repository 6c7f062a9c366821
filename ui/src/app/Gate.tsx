/** What is shown to nobody: the sign-in. Everything else needs somebody who is signed in. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Card, Flex, Input, Skeleton, Typography } from 'antd';
import { type ReactNode, useState } from 'react';
import { meQuery, refusalQuery, signIn } from '../kit/login';
import { Failure } from '../kit/Page';

export function Gate({ refusal, children }: { refusal: Error | undefined; children: ReactNode }) {
  const me = useQuery(meQuery);
  const later = useQuery(refusalQuery).data;
  if (me.data) return children;
  return (
    <Flex align="center" justify="center" style={{ minHeight: '100%', padding: 16 }}>
      <main style={{ width: 420, maxWidth: '100%' }}>
        {me.data === null ? (
          <SignIn refusal={later ?? refusal} />
        ) : me.error ? (
          <Failure error={me.error} retry={() => void me.refetch()} />
        ) : (
          <Skeleton active />
        )}
      </main>
    </Flex>
  );
}

function SignIn({ refusal }: { refusal: Error | undefined }) {
  const queries = useQueryClient();
  const [token, setToken] = useState('');
  const [error, setError] = useState<unknown>(refusal);
  const [busy, setBusy] = useState(false);
  const submit = async () => {
    setBusy(true);
    try {
      await signIn({ token: token.trim() });
      setError(undefined);
      queries.setQueryData(refusalQuery.queryKey, null);
      await queries.invalidateQueries();
    } catch (raised) {
      setError(raised);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Flex vertical gap={16}>
          <Flex gap={12} align="center">
            <img src="/ui/icon.svg" width={32} height={32} alt="" />
            <Typography.Title level={1} style={{ fontSize: 22, margin: 0 }}>
              Quarterdeck
            </Typography.Title>
          </Flex>
          <Typography.Paragraph type="secondary" style={{ margin: 0 }}>
            Run <Typography.Text code>qd ui</Typography.Text> on the server's host for a link that signs you in, or
            paste an API token.
          </Typography.Paragraph>
          {error !== undefined && <Failure error={error} />}
          <label htmlFor="token">
            API token
            <Input.Password
              id="token"
              autoFocus
              autoComplete="off"
              value={token}
              onChange={(event) => setToken(event.target.value)}
            />
          </label>
          <Button type="primary" htmlType="submit" block loading={busy} disabled={!token.trim()}>
            Sign in
          </Button>
        </Flex>
      </form>
    </Card>
  );
}
