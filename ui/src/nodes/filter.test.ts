import { describe, expect, it } from 'vitest';
import type { Shapes } from '../kit/api';
import { filterNodes, labelsOf } from './filter';

const nodes = [
  {
    gid: 1,
    nid: 1,
    name: 'web-1',
    agent_id: 'a',
    state: 'ONLINE',
    labels: { role: 'web' },
    facts: { os: 'Debian 12' },
  },
  { gid: 1, nid: 2, name: 'web-2', agent_id: 'b', state: 'OFFLINE', labels: { role: 'web', zone: 'b' } },
  {
    gid: 1,
    nid: 3,
    name: 'db-1',
    agent_id: 'c',
    state: 'ONLINE',
    labels: { role: 'db' },
    facts: { addresses: ['10.0.0.7'] },
  },
] as Shapes['Node'][];
const names = (filter: Parameters<typeof filterNodes>[1]) => filterNodes(nodes, filter).map((node) => node.name);

describe('filterNodes', () => {
  it('shows all without a filter', () => expect(names({})).toHaveLength(3));
  it('finds text in names, facts and addresses', () => {
    expect(names({ q: 'WEB' })).toEqual(['web-1', 'web-2']);
    expect(names({ q: 'debian web' })).toEqual(['web-1']);
    expect(names({ q: '10.0.0.7' })).toEqual(['db-1']);
  });
  it('wants all labels', () => {
    expect(names({ on: 'role=web' })).toEqual(['web-1', 'web-2']);
    expect(names({ on: 'role=web,zone=b' })).toEqual(['web-2']);
  });
  it('wants the state', () => expect(names({ state: 'OFFLINE' })).toEqual(['web-2']));
});

it('lists labels once', () => expect(labelsOf(nodes)).toEqual(['role=db', 'role=web', 'zone=b']));
