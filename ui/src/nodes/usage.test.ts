import { describe, expect, it } from 'vitest';
import { usageCharts } from './usage';

describe('usageCharts', () => {
  const charts = usageCharts({ gid: 1, nid: 7 }, '1h');
  const sql = (caption: string) => charts.find((chart) => chart.caption.startsWith(caption))?.sql ?? '';
  it('asks for one node in each', () =>
    expect(charts.every((chart) => chart.sql.includes('AND gid = 1 AND nid = 7'))).toBe(true));
  it('stacks the states of the CPU except idle', () => {
    expect(sql('CPU')).toContain("('user', v0)");
    expect(sql('CPU')).not.toContain('idle');
  });
  it('divides amounts by the time that was measured', () =>
    expect(sql('Network')).toContain('sum(received_bytes) / (sum(interval) / 1e9)'));
});
