/** The frame of a page, and what it shows in place of data: an error, or why there is none. */
import { Alert, Button, Empty, Flex, Skeleton, Typography } from 'antd';
import type { ReactNode } from 'react';
import { useEffect } from 'react';
import { ApiError } from './api';

export interface PageProps {
  title: string;
  /** Beside the title, such as a state or a number. */
  aside?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

export function Page({ title, aside, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Quarterdeck`;
  }, [title]);
  return (
    <Flex vertical gap={16}>
      <Flex justify="space-between" align="center" gap={12} wrap>
        <Flex align="center" gap={12} wrap>
          <Typography.Title level={1} style={{ fontSize: 22, margin: 0 }}>
            {title}
          </Typography.Title>
          {aside}
        </Flex>
        <Flex gap={8} wrap>
          {actions}
        </Flex>
      </Flex>
      {children}
    </Flex>
  );
}

/** An error with its detail, its hint, and its lines. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof ApiError ? error : undefined;
  return (
    <Alert
      type="error"
      showIcon
      title={error instanceof Error ? error.message : String(error)}
      description={
        (problem?.hint || problem?.lines.length) && (
          <>
            {problem.hint}
            {problem.lines.length > 0 && (
              <pre style={{ whiteSpace: 'pre-wrap', margin: 0 }}>{problem.lines.join('\n')}</pre>
            )}
          </>
        )
      }
      action={retry && <Button onClick={retry}>Try again</Button>}
    />
  );
}

/** Why there is nothing, and what to do about it. */
export function Nothing({ why, children }: { why: string; children?: ReactNode }) {
  return (
    <Empty
      image={Empty.PRESENTED_IMAGE_SIMPLE}
      style={{ padding: '32px 16px' }}
      description={
        <Flex vertical gap={8} align="center">
          <Typography.Text strong>{why}</Typography.Text>
          {children && <Typography.Text type="secondary">{children}</Typography.Text>}
        </Flex>
      }
    />
  );
}

export interface LoadedQuery<T> {
  data: T | undefined;
  error: Error | null;
  refetch: () => unknown;
}

interface LoadedProps<T> {
  query: LoadedQuery<T>;
  children: (data: T) => ReactNode;
}

/** What a query brings: a skeleton until it is there, its error, or `children`; data stays while it is read again. */
export function Loaded<T>({ query, children }: LoadedProps<T>) {
  // a lost connection is told once, at the top of the page
  const told = query.data !== undefined && query.error instanceof ApiError && query.error.passing;
  const failed = query.error && !told && <Failure error={query.error} retry={() => void query.refetch()} />;
  if (query.data === undefined) return failed || <Skeleton active />;
  return (
    <>
      {failed}
      {children(query.data)}
    </>
  );
}
