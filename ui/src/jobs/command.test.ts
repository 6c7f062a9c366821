import { describe, expect, it } from 'vitest';
import { JOB_CHOICES, type JobRow, lineOf, quoted, scriptOf, words } from './command';

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
    expect(lineOf({ cmd: 'execute_sh', args: { script: '#!/bin/sh\n\nuptime\n' } })).toBe('Shell script: uptime'));
  it('names a stored script', () =>
    expect(lineOf({ cmd: 'execute_sh', args: { sha256: 'aa8eb0a2c47c483a' } })).toBe('Shell script aa8eb0a2c47c'));
  it('names other commands with their arguments', () =>
    expect(lineOf({ cmd: 'kill', args: { id: 'x' } })).toBe('kill id=x'));
});

describe('scriptOf', () => {
  it('is the hash of a script', () => expect(scriptOf({ cmd: 'execute_sh', args: { sha256: 'ab' } })).toBe('ab'));
  it('is nothing for other commands, also for those of a file', () => {
    expect(scriptOf({ cmd: 'put_file', args: { sha256: 'ab' } })).toBe('');
    expect(scriptOf({ cmd: 'execute', args: { cmd: 'x' } })).toBe('');
    expect(scriptOf(undefined)).toBe('');
  });
});

describe('JOB_CHOICES', () => {
  const rows = ['OK', 'ERROR', 'KILLED', 'RUNNING'].map((state) => ({ state }) as JobRow);
  const left = (wanted: string) =>
    rows.filter((row) => JOB_CHOICES.find(({ value }) => value === wanted)?.matches(row)).map(({ state }) => state);
  it('knows what failed', () => expect(left('failed')).toEqual(['ERROR', 'KILLED']));
  it('knows what is not over', () => expect(left('open')).toEqual(['RUNNING']));
  it('has each state', () => expect(left('KILLED')).toEqual(['KILLED']));
});
