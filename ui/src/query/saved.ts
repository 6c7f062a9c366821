/** Saved queries, which all share: which of them a text matches, and what one that is saved replaces. */
import type { Shapes } from '../kit/api';

export type SavedQuery = Shapes['SavedQuery'];

/** The saved query that is open: its name, and the version that was seen. */
export interface Opened {
  name: string;
  version: string;
}

/** Return the queries whose name, description, SQL or author contains the text, case aside. */
export function matching(queries: SavedQuery[], text: string): SavedQuery[] {
  const wanted = text.trim().toLowerCase();
  return queries.filter((query) =>
    `${query.name} ${query.description} ${query.sql} ${query.changed_by}`.toLowerCase().includes(wanted),
  );
}

/** The query that one saved under this name replaces, and whether it is another one than the version that is open. */
export function replaced(
  queries: SavedQuery[],
  name: string,
  opened: Opened | undefined,
): { query: SavedQuery; unseen: boolean } | undefined {
  const query = queries.find((each) => each.name === name.trim());
  return query && { query, unseen: opened?.name !== query.name || opened.version !== query.version };
}
