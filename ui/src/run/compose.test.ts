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
  it('opens a stored script with all that it was asked with', () => {
    const args = { sha256: 'aa', args: ['-v'], env: { A: '1' }, max_time: 5 };
    const scheduled = { cmd: 'execute_sh', args, selector: {}, any: true, data: 'in', expires_s: 60 };
    const form = formOf(scheduled, 'uptime\n');
    expect(form).toMatchObject({ kind: 'execute_sh', text: 'uptime\n', maxTime: 5, any: true });
    expect(form && requestOf({ ...form, text: 'uptime -p\n' })).toEqual({
      ...scheduled,
      args: { script: 'uptime -p\n', args: ['-v'], env: { A: '1' }, max_time: 5 },
    });
  });
  it('does not open a script without its source', () =>
    expect(formOf({ cmd: 'execute_sh', args: { sha256: 'aa' } })).toBeUndefined());
  it('knows only programs and scripts', () => expect(formOf({ cmd: 'killall', args: {} })).toBeUndefined());
});
