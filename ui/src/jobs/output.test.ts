import { describe, expect, it } from 'vitest';
import { Backlog } from '../kit/backlog';
import { type Output, withEvents } from './output';

const none: Output = { messages: [], jobs: new Map(), dropped: 0, problems: new Set() };
const said = (...ids: number[]) => ({
  event: 'messages',
  data: JSON.stringify({
    gid: 1,
    nid: 1,
    node_name: 'a',
    messages: ids.map((id) => ({ id, epoch: 5, level: 1, data: `${id}` })),
  }),
});

describe('withEvents', () => {
  it('adds messages in order, each once', () => {
    const backlog = new Backlog();
    const first = withEvents(none, [said(1, 2)], backlog);
    const second = withEvents(first, [said(2, 3)], backlog);
    expect(second.messages.map((message) => message.id)).toEqual([1, 2, 3]);
    expect(second.messages[0]?.node).toBe('a');
  });
  it('keeps the last state of each job', () => {
    const job = (state: string) => ({ event: 'job', data: JSON.stringify({ id: 'x', node_name: 'a', state }) });
    expect(withEvents(none, [job('RUNNING'), job('OK')], new Backlog()).jobs.get('a')?.state).toBe('OK');
  });
});
