/** What a table's page shows, from its columns' types, roles and units, and the SQL of each part. */
import type { Shapes } from '../kit/api';
import { ofNode, overSql } from '../kit/over';
import { name } from '../kit/sql';

type Table = Shapes['Table'];
type Column = Shapes['Column'];

/** One chart: columns that are alike, which are counted up, levels, or times. */
export type Measure = { kind: 'rate' | 'level' | 'time'; columns: string[]; unit: string; title: string };
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
/** Units of time, and how many of them are a second. */
const TIMES = new Map(Object.entries({ ns: 1e9, us: 1e6, ms: 1e3, s: 1 }));
const NAMES = ['string', 'enum', 'ip', 'ipv4', 'ipv6', 'bool'];
/** What a row is, and not what was measured. */
const IDENTITIES = new Set(['id', 'nid', 'gid', 'job_id', 'cgroup', 'pid', 'ppid', 'tid', 'uid', 'marks', 'interval']);
const MEASURES = 4;
const TOPS = 6;

export function planOf(table: Table): Plan {
  const columns = table.columns.filter((column) => !IDENTITIES.has(column.name));
  const numbers = columns.filter((column) => isNumber(column));
  const counted = numbers.filter(isCounted);
  const weight = counted.find((column) => column.role === 'counter' || column.unit !== 'bytes')?.name ?? '';
  return {
    measures: alike(numbers).map(measureOf).slice(0, MEASURES),
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
  const measured = !column.role || column.role === 'counter' || column.role === 'gauge';
  return (NUMBERS.test(column.type) || column.type === 'duration_ns') && measured;
}

function isCounted(column: Column): boolean {
  return column.role ? column.role === 'counter' : COUNTED.has(column.unit ?? '');
}

/** Return the numbers in groups that share a chart: those of one role and unit; each number without a role is alone. */
function alike(numbers: Column[]): [Column, ...Column[]][] {
  const groups = new Map<string, [Column, ...Column[]]>();
  for (const column of numbers) {
    const key = column.role ? `${column.role} ${column.unit}` : column.name;
    const group = groups.get(key);
    if (group) group.push(column);
    else groups.set(key, [column]);
  }
  return [...groups.values()];
}

function isNamed(column: Column): boolean {
  const port = column.role === 'local_port' || column.role === 'remote_port';
  return (NAMES.includes(column.type) || port) && !/^(data|args|detail)$/.test(column.name);
}

function measureOf(group: [Column, ...Column[]]): Measure {
  const [first] = group;
  const columns = group.map((column) => column.name);
  const names = columns.length > 3 ? `${columns.slice(0, 3).join(', ')} …` : columns.join(', ');
  const unit = first.type === 'duration_ns' ? 'ns' : (first.unit ?? '');
  if (isCounted(first)) {
    // time that passed in each second is a share of it
    if (TIMES.has(unit)) return { kind: 'rate', columns, unit, title: `${names}, share of the time` };
    return { kind: 'rate', columns, unit, title: `${names}, ${unit} per second` };
  }
  if (!first.role && TIMES.has(unit))
    return { kind: 'time', columns, unit, title: `${names}: median and 99th percentile` };
  return { kind: 'level', columns, unit, title: `${names}, mean` };
}

/** Return the unit of a measure's values, as `measureSql` returns them. */
export function unitOf({ kind, unit }: Measure): string {
  if (!TIMES.has(unit)) return unit;
  return kind === 'rate' ? 'ratio' : 's';
}

export interface Window {
  seconds: number;
  step: number;
  /** "gid/nid" of a node; "" for all. */
  node: string;
}

function whereOf({ node }: Window): string {
  const [gid, nid] = node.split('/');
  return node && ofNode({ gid: Number(gid), nid: Number(nid) });
}

function from(table: string, window: Window): string {
  const where = whereOf(window);
  return `FROM ${name(table)} WHERE time > now() - INTERVAL ${window.seconds} SECOND${where && ` AND ${where}`}`;
}

const at = (step: number) => `toStartOfInterval(time, INTERVAL ${step} SECOND) AS at`;

/** Return the SQL of rows per second over time. */
export function rowsSql(table: string, window: Window): string {
  return `SELECT ${at(window.step)}, 'rows', count() / ${window.step} ${from(table, window)} GROUP BY at ORDER BY at`;
}

/** Return the SQL of a measure over time, as rows (time, name, value); times are in seconds. */
export function measureSql(table: string, { kind, columns, unit }: Measure, window: Window): string {
  const scale = TIMES.get(unit) ?? 1;
  const values = columns.map((column): [string, string][] => {
    const value = name(column);
    if (kind === 'rate') return [[column, `sum(${value}) / ${window.step * scale}`]];
    if (kind === 'level') return [[column, `avg(${value}) / ${scale}`]];
    return [
      ['median', `quantile(0.5)(${value}) / ${scale}`],
      ['99 %', `quantile(0.99)(${value}) / ${scale}`],
    ];
  });
  return overSql({ ...window, table: name(table), where: whereOf(window) }, Object.fromEntries(values.flat()));
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
