/** Which nodes a list shows: by a part of their name or facts, by labels, by state. */
import type { Shapes } from '../kit/api';

export interface NodeFilter {
  q?: string;
  on?: string;
  state?: string;
}

export function filterNodes(nodes: Shapes['Node'][], { q = '', on = '', state = '' }: NodeFilter): Shapes['Node'][] {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const labels = on.split(',').filter(Boolean);
  return nodes.filter(
    (node) =>
      (!state || node.state === state) &&
      labels.every((label) => hasLabel(node, label)) &&
      words.every((word) => textOf(node).includes(word)),
  );
}

function hasLabel(node: Shapes['Node'], written: string): boolean {
  const at = written.indexOf('=');
  return node.labels?.[written.slice(0, at)] === written.slice(at + 1);
}

/** The text of each node that was searched: it is made once, not with every key. */
const texts = new WeakMap<Shapes['Node'], string>();

function textOf(node: Shapes['Node']): string {
  const known = texts.get(node);
  if (known !== undefined) return known;
  const { os, kernel, addresses = [], agent_version } = node.facts ?? {};
  const labels = Object.entries(node.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const text = [node.name, `${node.gid}/${node.nid}`, os, kernel, agent_version, ...addresses, ...labels]
    .join(' ')
    .toLowerCase();
  texts.set(node, text);
  return text;
}

/** Return every label of the nodes as key=value, sorted. */
export function labelsOf(nodes: Shapes['Node'][]): string[] {
  const all = nodes.flatMap((node) => Object.entries(node.labels ?? {}).map(([key, value]) => `${key}=${value}`));
  return [...new Set(all)].sort();
}
