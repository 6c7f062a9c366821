import { describe, expect, it } from 'vitest';
import type { Shapes } from '../kit/api';
import { asText, histogram, streamUrl, timesOf } from './view';

const message = (epoch: number, level: number) =>
  ({ id: 1, job_id: 'j', name: 'web', epoch, level, data: 'x', gid: 1, nid: 1, node: 'a' }) as Shapes['NodeMessage'];

describe('streamUrl', () => {
  it('repeats labels and nodes', () =>
    expect(streamUrl({ nodes: 'role=web zone=b n1', q: 'a&b', level: '7-9' }, 'xyz')).toBe(
      '/api/v1/messages/events?node=n1&on=role%3Dweb&on=zone%3Db&level=7-9&text=a%26b&resume=xyz',
    ));
});

describe('timesOf', () => {
  it('looks back from now', () => expect(timesOf({ range: '15m' }, 1_000_000)).toEqual({ since: 100_000 }));
  it('keeps chosen times', () =>
    expect(timesOf({ since: '5', until: '9' }, 1_000_000)).toEqual({ since: 5, until: 9 }));
});

describe('histogram', () => {
  it('counts each message once, also at the very end', () => {
    const bars = histogram([message(0, 9), message(50, 7), message(99, 1), message(100, 1)], 0, 100, 2);
    expect(bars.map(({ error, warning, other }) => [error, warning, other])).toEqual([
      [1, 0, 0],
      [0, 1, 2],
    ]);
  });
});

it('writes messages as text', () => expect(asText([message(0, 7)])).toBe('1970-01-01T00:00:00.000Z a web 7 x\n'));
