/** Requests that change something: their error or their success is told, and what is shown is read again. */
import { useQueryClient } from '@tanstack/react-query';
import { App } from 'antd';
import { useState } from 'react';
import { ApiError } from './api';

/** Return a function that runs a request and tells `done` when it succeeds, and whether one runs. */
export function useAction(): [<T>(request: () => Promise<T>, done?: string) => Promise<T | undefined>, boolean] {
  const queries = useQueryClient();
  const { notification, message } = App.useApp();
  const [busy, setBusy] = useState(false);
  const act = async <T>(request: () => Promise<T>, done?: string): Promise<T | undefined> => {
    setBusy(true);
    try {
      const result = await request();
      if (done) void message.success(done);
      await queries.invalidateQueries();
      return result;
    } catch (error) {
      const hint = error instanceof ApiError ? [error.hint, ...error.lines].filter(Boolean).join('\n') : '';
      notification.error({
        title: error instanceof Error ? error.message : String(error),
        description: hint,
        duration: 0,
      });
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  return [act, busy];
}
