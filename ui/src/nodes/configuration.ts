/** The configuration of a node's agent, as the command `get_config` answers. */
import type { Shapes } from '../kit/api';

/** One key of a configuration, dotted as in `qd config show agent`. */
export interface Setting {
  key: string;
  value: string;
}

/** Return every key of a configuration with its value as text; an empty group is one key. */
export function settingsOf(value: unknown, key = ''): Setting[] {
  const entries = value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];
  if (!entries.length) return [{ key, value: typeof value === 'string' ? value : JSON.stringify(value) }];
  return entries.flatMap(([name, each]) => settingsOf(each, key ? `${key}.${name}` : name));
}

/** Return the newest of these jobs that has read the configuration. */
export function lastRead(jobs: Shapes['Job'][]): Shapes['Job'] | undefined {
  return jobs.find((job) => job.cmd === 'get_config' && job.state === 'OK' && job.result?.data);
}
