/** Selections of nodes as one line of text, which is also their form in an address: `role=web gid:2 web-1`. */
import type { Shapes } from './api';

type Selector = Shapes['Selector'];

/** Return the selector of a line: words with `=` are labels, `gid:N` is a grid, others are names; empty is every node. */
export function parseSelector(line: string): Selector {
  const labels: Record<string, string> = {};
  const nodes: string[] = [];
  let gid: number | undefined;
  for (const word of line.split(/[\s]+/).filter(Boolean)) {
    const at = word.indexOf('=');
    const grid = /^gid:(\d+)$/.exec(word);
    if (at > 0) labels[word.slice(0, at)] = word.slice(at + 1);
    else if (grid) gid = Number(grid[1]);
    else nodes.push(word);
  }
  return {
    ...(Object.keys(labels).length ? { labels } : {}),
    ...(nodes.length ? { nodes } : {}),
    ...(gid === undefined ? {} : { gid }),
  };
}

/** Return the line of a selector. A role is written as the label that it is. */
export function writeSelector(selector: Selector | undefined): string {
  const labels = Object.entries(selector?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const roles = (selector?.roles ?? []).map((role) => `role=${role}`);
  const grid = selector?.gid == null ? [] : [`gid:${selector.gid}`];
  return [...labels, ...roles, ...grid, ...(selector?.nodes ?? [])].join(' ');
}

/** Return the query parameters with which GET routes take a selector. */
export function selectorQuery(line: string): { node?: string[]; on?: string[]; gid?: number } {
  const { labels, nodes, gid } = parseSelector(line);
  const on = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return {
    ...(nodes?.length ? { node: [...nodes] } : {}),
    ...(on.length ? { on } : {}),
    ...(gid == null ? {} : { gid }),
  };
}
