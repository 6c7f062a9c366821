/** The filter of a list: words to find, and a choice of state. Both are in the address, as `q` and `state`. */

/** One choice of state: what it is called, and which rows it leaves. */
export interface Choice<T> {
  value: string;
  label?: string;
  matches: (row: T) => boolean;
  /** What an empty list says when this choice alone has removed every row. */
  none?: string;
}

/** Return whether a text has every word of `wanted`, in any order and case. */
export function hasWords(text: string, wanted: string): boolean {
  const lower = text.toLowerCase();
  return wanted
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}

/** Return the rows that have the words and match the choice; an unknown choice is none. */
export function filterRows<T>(
  rows: readonly T[],
  { q = '', state = '' }: { q?: string; state?: string },
  { text, choices }: { text?: (row: T) => string; choices?: readonly Choice<T>[] },
): T[] {
  const choice = choices?.find(({ value }) => value === state);
  return rows.filter((row) => (!choice || choice.matches(row)) && (!text || !q || hasWords(text(row), q)));
}
