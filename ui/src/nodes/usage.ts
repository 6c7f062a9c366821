/** The charts of a node's usage, and the SQL of each. */
import { ofNode, overSql, spanOf } from '../kit/over';
import type { Range } from '../kit/ranges';

export interface UsageChart {
  caption: string;
  unit: string;
  /** The names of its series, the lowest first, if they are stacked. */
  stack?: string[];
  sql: string;
  /** Why a node may have no rows of it; "" for the reason that all have. */
  empty: string;
}

/** States of CPUs other than idle. */
const STATES = ['user', 'nice', 'system', 'irq', 'iowait', 'steal'];
/** Parts of the memory, which add up to all of it. */
const MEMORY = {
  used: 'avg(memory_used)',
  cache: 'greatest(0, avg(memory_available) - avg(memory_free))',
  free: 'avg(memory_free)',
};

const perSecond = (column: string) => `sum(${column}) / (sum(interval) / 1e9)`;

export function usageCharts(node: { gid: number; nid: number }, range: Range): UsageChart[] {
  const over = { where: ofNode(node), ...spanOf(range) };
  const host = { ...over, table: 'host_usage' };
  const io = { ...over, table: 'disk_io', by: 'device' };
  const noDisk = 'A host without disks of its own, such as a container, has none.';
  return [
    {
      caption: 'CPU',
      unit: 'ratio',
      stack: STATES,
      sql: overSql(host, Object.fromEntries(STATES.map((state) => [state, `avg(cpu_${state})`]))),
      empty: '',
    },
    {
      caption: 'Memory',
      unit: 'bytes',
      stack: Object.keys(MEMORY),
      sql: overSql(host, MEMORY),
      empty: '',
    },
    {
      caption: 'Load',
      unit: '',
      sql: overSql(host, {
        '1 minute': 'avg(load_1)',
        '15 minutes': 'avg(load_15)',
        blocked: 'avg(processes_blocked)',
      }),
      empty: '',
    },
    {
      caption: 'Pressure: time in which programs waited',
      unit: 'ratio',
      sql: overSql({ ...over, table: 'host_pressure', by: 'resource' }, { '': 'avg(some_ratio)' }),
      empty: 'A kernel without pressure stall information (before 4.20, or without CONFIG_PSI) has none.',
    },
    {
      caption: 'Disk space in use',
      unit: 'ratio',
      sql: overSql({ ...over, table: 'disk_usage', by: 'mount_point' }, { '': 'avg(used_ratio)' }),
      empty: '',
    },
    {
      caption: 'Disks, bytes per second',
      unit: 'bytes',
      sql: overSql(io, { read: perSecond('read_bytes'), written: perSecond('written_bytes') }),
      empty: noDisk,
    },
    {
      caption: 'Disks, busy',
      unit: 'ratio',
      sql: overSql(io, { '': 'avg(busy)' }),
      empty: noDisk,
    },
    {
      caption: 'Network, bytes per second',
      unit: 'bytes',
      sql: overSql(
        { ...over, table: 'nic_usage', by: 'interface' },
        { received: perSecond('received_bytes'), sent: perSecond('sent_bytes') },
      ),
      empty: 'Loopback and the interfaces of containers (veth) are not measured.',
    },
  ];
}
