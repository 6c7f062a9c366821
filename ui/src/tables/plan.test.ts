import { describe, expect, it } from 'vitest';
import type { Shapes } from '../kit/api';
import { histogramSql, measureSql, planOf, stacksSql, topSql } from './plan';

const table = (columns: Shapes['Column'][]) => ({ name: 't', columns }) as Shapes['Table'];
const window = { seconds: 60, step: 10, node: '' };

describe('planOf', () => {
  const plan = planOf(
    table([
      { name: 'time', type: 'timestamp_ns', role: 'time' },
      { name: 'pid', type: 'uint32', role: 'pid' },
      { name: 'comm', type: 'string', role: 'comm' },
      { name: 'bytes_sent', type: 'uint64', unit: 'bytes' },
      { name: 'samples', type: 'uint64', unit: 'samples' },
      { name: 'rtt', type: 'uint32', unit: 'us' },
      { name: 'duration', type: 'duration_ns' },
      { name: 'stack', type: 'list', item: 'string', role: 'stack' },
      { name: 'slots', type: 'list', item: 'uint64', unit: 'us', histogram: 'log2' },
      { name: 'remote_port', type: 'uint16', role: 'remote_port' },
    ]),
  );
  it('draws counters as rates and times as percentiles', () =>
    expect(plan.measures.map(({ kind, column }) => [kind, column])).toEqual([
      ['rate', 'bytes_sent'],
      ['rate', 'samples'],
      ['time', 'rtt'],
      ['time', 'duration'],
    ]));
  it('finds histograms and stacks', () => {
    expect(plan.histograms).toEqual([{ column: 'slots', bounds: 'log2', unit: 'us' }]);
    expect(plan.stacks).toEqual(['stack']);
  });
  it('weighs by what is counted, and lists names and ports', () => {
    expect(plan.weight).toBe('samples');
    expect(plan.tops).toEqual(['comm', 'remote_port']);
  });
});

describe('SQL', () => {
  it('asks for one node', () =>
    expect(topSql('t', 'comm', '', { ...window, node: '1/7' })).toContain('AND gid = 1 AND nid = 7'));
  it('scales times to seconds', () =>
    expect(measureSql('t', { kind: 'time', column: 'rtt', unit: 'us', title: '' }, window)).toContain('p.2 / 1000000'));
  it('sums slots and stacks', () => {
    expect(histogramSql('t', 'slots', window)).toContain('sumForEach("slots")');
    expect(stacksSql('t', 'stack', 'samples', window)).toContain('sum("samples")');
  });
});
