/** Who is signed in. The cookie is the browser's; the page never sees a secret after the sign-in. */
import { type QueryClient, queryOptions, skipToken, useQuery } from '@tanstack/react-query';
import { ApiError, api, type Shapes, take } from './api';

export type Role = Shapes['Identity']['role'];

const ORDER: Role[] = ['viewer', 'operator', 'admin'];

/** Who is signed in; null for nobody. */
export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: async (): Promise<Shapes['Identity'] | null> => {
    try {
      return await take(api.GET('/api/v1/me'));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  },
  staleTime: Number.POSITIVE_INFINITY,
});

/** Why the server refuses this browser, which was signed in before. */
export const refusalQuery = queryOptions<Error | null>({ queryKey: ['refusal'], queryFn: skipToken });

/** Note an error of the server: one that says that nobody is signed in leads to the sign-in, with the reason. */
export function refused(queries: QueryClient, error: unknown): void {
  if (!(error instanceof ApiError) || error.status !== 401) return;
  if (queries.getQueryData(meQuery.queryKey)) queries.setQueryData(refusalQuery.queryKey, error); // the first reason
  queries.setQueryData(meQuery.queryKey, null);
}

/** Sign in; return who it is. */
export async function signIn(secret: { code: string } | { token: string }): Promise<Shapes['Identity']> {
  const login = await take(api.POST('/api/v1/sign-in', { body: secret }));
  return { name: login.name, role: login.role, login };
}

export async function signOut(): Promise<void> {
  await take(api.POST('/api/v1/sign-out'));
}

/** Return the code in an address' fragment, which `qd ui` printed; "" without one. */
export function codeOf(fragment: string): string {
  return new URLSearchParams(fragment.replace(/^#/, '')).get('code') ?? '';
}

/** Return whether who is signed in has this role, or one above it. */
export function useRole(needed: Role): boolean {
  const me = useQuery(meQuery).data;
  return !!me && ORDER.indexOf(me.role) >= ORDER.indexOf(needed);
}
