import { afterEach, describe, expect, it, vi } from 'vitest';
import { backoffMs, follow, type StreamState } from './stream';

const stream = (text: string) => new Response(text, { headers: { 'content-type': 'text/event-stream' } });

function followed(answers: (Response | Error)[], from = '') {
  const events: string[] = [];
  const states: StreamState[] = [];
  const errors: string[] = [];
  const asked: { url: string; last: string | null }[] = [];
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    asked.push({ url, last: new Headers(init.headers).get('Last-Event-ID') });
    const answer = answers.shift();
    if (!answer) throw new Error('asked too often');
    if (answer instanceof Error) throw answer;
    return answer;
  });
  const done = follow({
    url: (last) => `/tail?cursor=${last}`,
    onEvent: (event) => events.push(event.data),
    onState: (state, error) => {
      states.push(state);
      if (state === 'ended' && error) errors.push(error.message);
    },
    signal: new AbortController().signal,
    from,
    wait: async () => undefined,
  });
  return { events, states, errors, asked, done };
}

afterEach(() => vi.unstubAllGlobals());

describe('follow', () => {
  it('resumes after the last event that came', async () => {
    const told = followed([stream('id: 7\ndata: a\n\n'), stream('id: 8\ndata: b\n\nevent: end\ndata: {}\n\n')]);
    await told.done;
    expect(told.events).toEqual(['a', 'b']);
    expect(told.asked).toEqual([
      { url: '/tail?cursor=', last: null },
      { url: '/tail?cursor=7', last: '7' },
    ]);
    expect(told.states).toEqual(['connecting', 'live', 'lost', 'connecting', 'live', 'ended']);
  });

  it('begins after the event it is given', async () => {
    const told = followed([stream('event: end\ndata: {}\n\n')], '41');
    await told.done;
    expect(told.asked).toEqual([{ url: '/tail?cursor=41', last: '41' }]);
  });

  it('asks again when the server cannot be reached', async () => {
    const told = followed([new TypeError('fetch failed'), stream('event: end\ndata: {}\n\n')]);
    await told.done;
    expect(told.states).toEqual(['connecting', 'lost', 'connecting', 'live', 'ended']);
  });

  it('ends with the problem that ends the stream', async () => {
    const problem = '{"status": 401, "code": "unauthenticated", "detail": "The API token was revoked."}';
    const told = followed([stream(`id: 7\ndata: a\n\nevent: problem\ndata: ${problem}\n\n`)]);
    await told.done;
    expect(told.events).toEqual(['a']);
    expect(told.states).toEqual(['connecting', 'live', 'ended']);
    expect(told.errors).toEqual(['The API token was revoked.']);
    expect(told.asked).toHaveLength(1);
  });

  it('ends with a problem that waiting cannot mend', async () => {
    const told = followed([new Response('{"code":"not_found","detail":"No such table."}', { status: 404 })]);
    await told.done;
    expect(told.states).toEqual(['connecting', 'ended']);
    expect(told.asked).toHaveLength(1);
  });
});

describe('backoffMs', () => {
  it('grows to a bound', () => {
    expect([0, 1, 2, 20].map((attempt) => backoffMs(attempt, 1))).toEqual([500, 1000, 2000, 15_000]);
  });
});
