/** The SQL of series over time: rows (time, name, value). */
import { RANGES, type Range, stepOf } from './ranges';
import { text } from './sql';

/** The agent measures its host and modules this often by default, in seconds; no step of a chart is shorter. */
export const USAGE_S = 15;

export interface Over {
  /** A name as SQL has it, quoted where it must be. */
  table: string;
  /** A condition in SQL; "" for all rows. */
  where: string;
  seconds: number;
  step: number;
  /** An expression: each of its values has series of its own. */
  by?: string;
}

/** Return the SQL of these aggregates over time, each with the name of its series: { user: 'avg(cpu_user)' }. */
export function overSql({ table, where, seconds, step, by }: Over, values: Record<string, string>): string {
  const named = Object.entries(values);
  const each = named.map(([, value], index) => `toFloat64(${value}) AS v${index}`).join(', ');
  const pairs = named.map(([name], index) => `(${nameOf(name, by)}, v${index})`).join(', ');
  const grouped =
    `SELECT toStartOfInterval(time, INTERVAL ${step} SECOND) AS at, ${by ? `${by} AS what, ` : ''}${each} ` +
    `FROM ${table} WHERE time > now() - INTERVAL ${seconds} SECOND${where && ` AND ${where}`} ` +
    `GROUP BY at${by ? ', what' : ''}`;
  return `SELECT at, p.1 AS series, p.2 AS value FROM (${grouped}) ARRAY JOIN [${pairs}] AS p ORDER BY at`;
}

function nameOf(name: string, by: string | undefined): string {
  if (!by) return text(name);
  return name ? `concat(toString(what), ${text(` ${name}`)})` : 'toString(what)';
}

/** Return the condition of one node. */
export function ofNode({ gid, nid }: { gid: number; nid: number }): string {
  return `gid = ${gid} AND nid = ${nid}`;
}

/** The identity of a row's node, "gid/nid". */
export const NODE = "concat(toString(gid), '/', toString(nid))";

/** Return the range of a view as the seconds and steps of its charts of usage. */
export function spanOf(range: Range): { seconds: number; step: number } {
  return { seconds: RANGES[range], step: stepOf(range, USAGE_S) };
}
