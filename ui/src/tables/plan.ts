/** What a table's page shows, from its columns' types, roles and units, and the SQL of each part. */
import type { Shapes } from '../kit/api';
import { name, text } from '../kit/sql';

type Table = Shapes['Table'];
type Column = Shapes['Column'];

export type Measure = { kind: 'rate' | 'level' | 'time'; column: string; unit: string; title: string };
export interface Plan {
  measures: Measure[];
  histograms: { column: string; bounds: string; unit: string }[];
  stacks: string[];
  /** The column that weighs a stack or an entry of a top list; "" counts rows. */
  weight: string;
  tops: string[];
}

const NUMBERS = /^(u?int(8|16|32|64)|float(32|64))$/;
const COUNTED = new Set([
  'rows',
  'samples',
  'waits',
  'calls',
  'packets',
  'bytes',
  'connections',
  'events',
  'requests',
  'failures',
]);
const NAMES = ['string', 'enum', 'ip', 'ipv4', 'ipv6', 'bool'];
const IDENTITIES = new Set(['id', 'nid', 'gid', 'job_id', 'cgroup', 'pid', 'ppid', 'tid', 'uid', 'marks']);
const MEASURES = 4;
const TOPS = 6;

export function planOf(table: Table): Plan {
  const columns = table.columns.filter((column) => !IDENTITIES.has(column.name));
  const numbers = columns.filter((column) => isNumber(column));
  const counted = numbers.filter((column) => COUNTED.has(column.unit ?? ''));
  const weight = counted.find((column) => column.unit !== 'bytes')?.name ?? '';
  return {
    measures: numbers.map(measureOf).slice(0, MEASURES),
    histograms: columns
      .filter((column) => column.histogram)
      .map((column) => ({ column: column.name, bounds: column.histogram ?? '', unit: column.unit ?? '' })),
    stacks: columns.filter((column) => column.role === 'stack').map((column) => column.name),
    weight,
    tops: columns
      .filter(isNamed)
      .map((column) => column.name)
      .slice(0, TOPS),
  };
}

function isNumber(column: Column): boolean {
  return (NUMBERS.test(column.type) || column.type === 'duration_ns') && !column.role;
}

function isNamed(column: Column): boolean {
  const port = column.role === 'local_port' || column.role === 'remote_port';
  return (NAMES.includes(column.type) || port) && !/^(data|args|detail)$/.test(column.name);
}

function measureOf(column: Column): Measure {
  const unit = column.unit ?? '';
  if (COUNTED.has(unit))
    return { kind: 'rate', column: column.name, unit, title: `${column.name}, ${unit} per second` };
  if (column.type === 'duration_ns' || ['ns', 'us', 'ms', 's'].includes(unit))
    return {
      kind: 'time',
      column: column.name,
      unit: column.type === 'duration_ns' ? 'ns' : unit,
      title: `${column.name}: median and 99th percentile`,
    };
  return { kind: 'level', column: column.name, unit, title: `${column.name}, mean` };
}

export interface Window {
  seconds: number;
  step: number;
  /** "gid/nid" of a node; "" for all. */
  node: string;
}

function from(table: string, { seconds, node }: Window): string {
  const [gid, nid] = node.split('/');
  return `FROM ${name(table)} WHERE time > now() - INTERVAL ${seconds} SECOND${node ? ` AND gid = ${Number(gid)} AND nid = ${Number(nid)}` : ''}`;
}

const at = (step: number) => `toStartOfInterval(time, INTERVAL ${step} SECOND) AS at`;

/** Return the SQL of rows per second over time. */
export function rowsSql(table: string, window: Window): string {
  return `SELECT ${at(window.step)}, 'rows', count() / ${window.step} ${from(table, window)} GROUP BY at ORDER BY at`;
}

/** Return the SQL of a measure over time, as rows (time, name, value); times are in seconds. */
export function measureSql(table: string, { kind, column, unit }: Measure, window: Window): string {
  const value = name(column);
  const tail = `${from(table, window)} GROUP BY at ORDER BY at`;
  if (kind === 'rate') return `SELECT ${at(window.step)}, ${text(column)}, sum(${value}) / ${window.step} ${tail}`;
  if (kind === 'level') return `SELECT ${at(window.step)}, ${text(column)}, avg(${value}) ${tail}`;
  const scale = { ns: 1e9, us: 1e6, ms: 1e3, s: 1 }[unit] ?? 1;
  const both = `SELECT ${at(window.step)}, quantiles(0.5, 0.99)(${value}) AS q ${tail}`;
  return `SELECT at, p.1, p.2 / ${scale} FROM (${both}) ARRAY JOIN [('median', q[1]), ('99 %', q[2])] AS p ORDER BY at`;
}

/** Return the SQL of a histogram column over time: the sums of its slots in each step. */
export function histogramSql(table: string, column: string, window: Window): string {
  return `SELECT ${at(window.step)}, sumForEach(${name(column)}) ${from(table, window)} GROUP BY at ORDER BY at`;
}

/** Return the SQL of the heaviest stacks: rows (frames innermost first, weight). */
export function stacksSql(table: string, stack: string, weight: string, window: Window): string {
  const sum = weight ? `sum(${name(weight)})` : 'count()';
  return `SELECT ${name(stack)}, ${sum} AS weight ${from(table, window)} AND notEmpty(${name(stack)}) GROUP BY ALL ORDER BY weight DESC LIMIT 5000`;
}

/** Return the SQL of a top list: rows (value, weight). */
export function topSql(table: string, column: string, weight: string, window: Window): string {
  const sum = weight ? `sum(${name(weight)})` : 'count()';
  return `SELECT toString(${name(column)}) AS value, ${sum} AS weight ${from(table, window)} GROUP BY value ORDER BY weight DESC LIMIT 8`;
}
