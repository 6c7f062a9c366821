import { describe, expect, it } from 'vitest';
import type { Shapes } from '../kit/api';
import { histogramSql, measureSql, planOf, stacksSql, topSql, unitOf } from './plan';

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
    expect(plan.measures.map(({ kind, columns }) => [kind, columns])).toEqual([
      ['rate', ['bytes_sent']],
      ['rate', ['samples']],
      ['time', ['rtt']],
      ['time', ['duration']],
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

describe('planOf a table whose columns have roles', () => {
  const plan = planOf(
    table([
      { name: 'time', type: 'timestamp_ns', role: 'time' },
      { name: 'interval', type: 'duration_ns', unit: 'ns' },
      { name: 'device', type: 'string' },
      { name: 'cpu_user', type: 'float64', unit: 'ratio', role: 'gauge' },
      { name: 'memory', type: 'uint64', unit: 'bytes', role: 'gauge' },
      { name: 'cpu_idle', type: 'float64', unit: 'ratio', role: 'gauge' },
      { name: 'read_bytes', type: 'uint64', unit: 'bytes', role: 'counter' },
      { name: 'read_time', type: 'duration_ns', unit: 'ns', role: 'counter' },
      { name: 'uptime', type: 'duration_ns', unit: 'ns', role: 'gauge' },
    ]),
  );
  it('draws levels as means and counters as rates, those of one unit together', () =>
    expect(plan.measures.map(({ kind, columns }) => [kind, columns])).toEqual([
      ['level', ['cpu_user', 'cpu_idle']],
      ['level', ['memory']],
      ['rate', ['read_bytes']],
      ['rate', ['read_time']],
    ]));
  it('weighs by the first counter', () => expect(plan.weight).toBe('read_bytes'));
  it('shows time that was counted as a share', () => {
    expect(plan.measures.map(unitOf)).toEqual(['ratio', 'bytes', 'bytes', 'ratio']);
    expect(plan.measures[3] && measureSql('t', plan.measures[3], window)).toContain('sum("read_time") / 10000000000');
  });
});

describe('SQL', () => {
  it('asks for one node', () =>
    expect(topSql('t', 'comm', '', { ...window, node: '1/7' })).toContain('AND gid = 1 AND nid = 7'));
  it('scales times to seconds', () =>
    expect(measureSql('t', { kind: 'time', columns: ['rtt'], unit: 'us', title: '' }, window)).toContain(
      'quantile(0.99)("rtt") / 1000000',
    ));
  it('sums slots and stacks', () => {
    expect(histogramSql('t', 'slots', window)).toContain('sumForEach("slots")');
    expect(stacksSql('t', 'stack', 'samples', window)).toContain('sum("samples")');
  });
});
