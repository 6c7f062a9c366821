import { describe, expect, it } from 'vitest';
import type { Shapes } from '../kit/api';
import { problems } from './problems';

const node = (name: string, state: 'ONLINE' | 'OFFLINE') =>
  ({ gid: 1, nid: 1, name, agent_id: 'a', state }) as Shapes['Node'];
const service = (states: Shapes['ServiceInfo']['states'], reason = '') =>
  ({ service: { command: ['x'], name: 'web' }, version: '1', states, reason }) as Shapes['ServiceInfo'];

describe('problems', () => {
  it('are none in a fleet that is well', () =>
    expect(problems({ nodes: [node('a', 'ONLINE')], services: [service({ RUNNING: 3 })] })).toEqual([]));

  it('name offline nodes, and lead to them', () => {
    const [found] = problems({ nodes: ['a', 'b', 'c', 'd', 'e'].map((name) => node(name, 'OFFLINE')) });
    expect(found).toMatchObject({ what: '5 nodes offline', why: 'a, b, c and 2 more', search: { state: 'OFFLINE' } });
  });

  it('say why a service fails, and put errors before warnings', () => {
    const found = problems({
      services: [service({ BACKOFF: 1 }, 'exit code 1'), service({ FAILED: 2, RUNNING: 1 }, 'ended too often')],
    });
    expect(found.map((each) => [each.severity, each.what, each.why])).toEqual([
      ['error', 'Service web is FAILED on 2 nodes', 'ended too often'],
      ['warning', 'Service web is BACKOFF on 1 node', 'exit code 1'],
    ]);
  });

  it('count losses', () =>
    expect(problems({ losses: [{ table: 'execs', reason: 'ring_full', rows: 1200 }] })[0]).toMatchObject({
      what: '1,200 rows of execs were lost in the last hour',
      why: 'ring full',
    }));
});
