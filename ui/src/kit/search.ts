/** The state of a view, which is in its address. */
import { useNavigate, useRouterState } from '@tanstack/react-router';

/** Return a reader of these texts of an address; those that are empty or absent are left out. */
export function texts<Key extends string>(...keys: Key[]) {
  return (search: Record<string, unknown>): Partial<Record<Key, string>> => {
    const found: Partial<Record<Key, string>> = {};
    for (const key of keys) {
      const value = search[key];
      if (value !== undefined && value !== null && value !== '') found[key] = String(value);
    }
    return found;
  };
}

/** Return the state in the address, and a function that changes some of it; "" removes a part. */
export function useAddress<Key extends string>(): [
  Partial<Record<Key, string>>,
  (change: Partial<Record<Key, string>>) => void,
] {
  const found: object = useRouterState({ select: (state) => state.location.search });
  const search = found as Partial<Record<Key, string>>;
  const navigate = useNavigate();
  const change = (changed: Partial<Record<Key, string>>) => {
    const merge = (old: Record<string, unknown>) =>
      Object.fromEntries(Object.entries({ ...old, ...changed }).filter(([, value]) => value !== ''));
    void navigate({ to: '.', search: merge as never, replace: true });
  };
  return [search, change];
}
