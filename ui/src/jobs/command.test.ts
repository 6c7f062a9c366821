import { describe, expect, it } from 'vitest';
import { filterJobs, type JobRow, lineOf, quoted, words } from './command';

describe('words', () => {
  it('splits as a shell does', () =>
    expect(words(`sh -c 'echo "a b"' x\\ y "q\\"z" ''`)).toEqual(['sh', '-c', 'echo "a b"', 'x y', 'q"z', '']));
  it('refuses a quote that does not end', () => expect(() => words("echo 'a")).toThrow('does not end'));
  it('reads what quoted writes', () => {
    const all = ['a', 'b c', "d'e", '', '$x', 'k=v'];
    expect(words(quoted(all))).toEqual(all);
  });
});

describe('lineOf', () => {
  it('is the program with its arguments', () =>
    expect(lineOf({ cmd: 'execute', args: { cmd: 'sh', args: ['-c', 'exit 3'] } })).toBe("sh -c 'exit 3'"));
  it('is the first line of a script', () =>
    expect(lineOf({ cmd: 'execute_sh', args: { script: '#!/bin/sh\n\nuptime\n' } })).toBe('execute_sh: uptime'));
  it('names a stored script', () =>
    expect(lineOf({ cmd: 'execute_sh', args: { sha256: 'aa8eb0a2c47c483a' } })).toBe(
      'execute_sh: script aa8eb0a2c47c',
    ));
  it('names other commands with their arguments', () =>
    expect(lineOf({ cmd: 'kill', args: { id: 'x' } })).toBe('kill id=x'));
});

describe('filterJobs', () => {
  const row = (state: string, line: string, actor = 'admin') =>
    ({ id: line, state, line, actor, node_name: 'n', cmd: 'execute' }) as JobRow;
  const rows = [row('OK', 'uptime'), row('ERROR', 'false'), row('KILLED', 'sleep 9', 'ann'), row('RUNNING', 'sleep 5')];
  const lines = (filter: Parameters<typeof filterJobs>[1]) => filterJobs(rows, filter).map((each) => each.line);
  it('knows what failed', () => expect(lines({ state: 'failed' })).toEqual(['false', 'sleep 9']));
  it('knows what is not over', () => expect(lines({ state: 'open' })).toEqual(['sleep 5']));
  it('finds text and people', () => {
    expect(lines({ q: 'SLEEP' })).toEqual(['sleep 9', 'sleep 5']);
    expect(lines({ who: 'ann' })).toEqual(['sleep 9']);
  });
});
