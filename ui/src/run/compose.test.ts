import { describe, expect, it } from 'vitest';
import { EMPTY, formOf, requestOf } from './compose';

describe('requestOf', () => {
  it('splits the line of a program', () =>
    expect(requestOf({ ...EMPTY, text: "sh -c 'exit 3'", nodes: 'role=web', maxTime: 5 })).toEqual({
      cmd: 'execute',
      args: { cmd: 'sh', args: ['-c', 'exit 3'], max_time: 5 },
      selector: { labels: { role: 'web' } },
    }));
  it('sends a script as it is', () =>
    expect(requestOf({ ...EMPTY, kind: 'execute_sh', text: 'uptime\n', any: true })).toMatchObject({
      cmd: 'execute_sh',
      args: { script: 'uptime\n' },
      any: true,
    }));
  it('wants a text', () => expect(() => requestOf(EMPTY)).toThrow('Write a program'));
});

describe('formOf', () => {
  it('reads what requestOf writes', () => {
    const form = { ...EMPTY, text: "sh -c 'exit 3'", nodes: 'role=web n1', maxTime: 5, user: 'www' };
    expect(formOf(requestOf(form))).toEqual(form);
  });
  it('does not know a script of which only the hash is stored', () =>
    expect(formOf({ cmd: 'execute_sh', args: { sha256: 'aa' } })).toBeUndefined());
  it('knows only programs and scripts', () => expect(formOf({ cmd: 'killall', args: {} })).toBeUndefined());
});
