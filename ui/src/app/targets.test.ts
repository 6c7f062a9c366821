import { describe, expect, it } from 'vitest';
import { ofCommands, rank } from './targets';

const targets = ['db-1', 'web-10', 'web-1', 'old-web'].map((name) => ({ noun: 'node', name, to: `/nodes/${name}` }));
const names = (text: string) => rank(targets, text).map((target) => target.name);

describe('rank', () => {
  it('keeps all without a text', () => expect(names(' ')).toHaveLength(4));
  it('prefers names that begin with the text, then short ones', () =>
    expect(names('WEB')).toEqual(['web-1', 'web-10', 'old-web']));
  it('finds nothing', () => expect(names('zzz')).toEqual([]));
});

describe('ofCommands', () => {
  it('tells commands apart by their id and where they ran', () =>
    expect(
      ofCommands([
        { id: 'c/1', cmd: 'execute', args: { cmd: 'uptime', args: ['-p'] }, selector: { roles: ['web'] } },
        { id: 'c2', cmd: 'ping', selector: {} },
      ] as Parameters<typeof ofCommands>[0]),
    ).toEqual([
      { noun: 'command', name: 'uptime -p', detail: 'c/1, on role=web', to: '/jobs/c%2F1' },
      { noun: 'command', name: 'ping', detail: 'c2, on every node', to: '/jobs/c2' },
    ]));
});
