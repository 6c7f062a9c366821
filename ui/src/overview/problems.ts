/** What is wrong in the fleet, in words, each with the place of its cause. */
import type { Shapes } from '../kit/api';
import { count, plural } from '../kit/format';

export interface Problem {
  severity: 'error' | 'warning';
  what: string;
  why: string;
  /** The page that shows the cause, and the state of its view. */
  to: string;
  search?: Record<string, string>;
}

export interface Fleet {
  nodes?: Shapes['Node'][];
  services?: Shapes['ServiceInfo'][];
  instances?: Shapes['Instance'][];
  schedules?: Shapes['Schedule'][];
  failedJobs?: Shapes['Job'][];
  losses?: { table: string; reason: string; rows: number }[];
  server?: Shapes['ServerInfo'];
}

const BAD_SERVICE = ['FAILED', 'UNHEALTHY', 'BACKOFF'] as const;
/** More nodes or jobs than these are named by their number only. */
const NAMED = 3;

/** Return the problems, errors before warnings. */
export function problems(fleet: Fleet): Problem[] {
  const all = [
    ...ofServer(fleet.server),
    ...ofNodes(fleet.nodes ?? []),
    ...ofServices(fleet.services ?? []),
    ...ofInstances(fleet.instances ?? []),
    ...ofJobs(fleet.failedJobs ?? []),
    ...ofLosses(fleet.losses ?? []),
    ...ofSchedules(fleet.schedules ?? []),
  ];
  return [...all.filter((each) => each.severity === 'error'), ...all.filter((each) => each.severity === 'warning')];
}

function ofServer(server: Shapes['ServerInfo'] | undefined): Problem[] {
  return (server?.problems ?? []).map((why) => ({
    severity: 'error',
    what: 'The server needs an operator',
    why,
    to: '/about',
  }));
}

function ofNodes(nodes: Shapes['Node'][]): Problem[] {
  const found: Problem[] = [];
  const offline = nodes.filter((node) => node.state === 'OFFLINE');
  if (offline.length)
    found.push({
      severity: 'error',
      what: `${plural(offline.length, 'node')} offline`,
      why: names(offline.map((node) => node.name)),
      to: '/nodes',
      search: { state: 'OFFLINE' },
    });
  for (const node of nodes.filter((each) => (each.held_revision ?? 0) > 0))
    found.push({
      severity: 'warning',
      what: `${node.name} keeps a later desired set than the server has`,
      why: 'The server was restored from an older state. Send it the present one from its page.',
      to: `/nodes/${encodeURIComponent(node.name)}`,
    });
  return found;
}

function ofServices(services: Shapes['ServiceInfo'][]): Problem[] {
  return services.flatMap((service) => {
    const bad = BAD_SERVICE.filter((state) => service.states?.[state]);
    if (!bad.length) return [];
    const name = service.service.name ?? '';
    const on = bad.map((state) => `${state} on ${plural(service.states?.[state] ?? 0, 'node')}`).join(', ');
    return {
      severity: bad.includes('FAILED') || bad.includes('UNHEALTHY') ? 'error' : 'warning',
      what: `Service ${name} is ${on}`,
      why: service.reason ?? '',
      to: `/services/${encodeURIComponent(name)}`,
    } satisfies Problem;
  });
}

function ofInstances(instances: Shapes['Instance'][]): Problem[] {
  const failed = new Map<string, Shapes['Instance'][]>();
  for (const instance of instances)
    if (instance.status.state === 'FAILED')
      failed.set(instance.module_name, [...(failed.get(instance.module_name) ?? []), instance]);
  return [...failed].map(([module, on]) => ({
    severity: 'error',
    what: `Module ${module} failed on ${plural(on.length, 'node')}`,
    why: on[0]?.status.reason ?? '',
    to: `/modules/${encodeURIComponent(module)}`,
  }));
}

function ofJobs(jobs: Shapes['Job'][]): Problem[] {
  if (!jobs.length) return [];
  const nodes = [...new Set(jobs.map((job) => job.node_name))];
  return [
    {
      severity: 'warning',
      what: `${plural(jobs.length, 'job')} failed in the last hour`,
      why: `on ${names(nodes)}: ${jobs[0]?.reason ?? ''}`,
      to: '/jobs',
      search: { state: 'failed', range: '1h' },
    },
  ];
}

function ofLosses(losses: { table: string; reason: string; rows: number }[]): Problem[] {
  return losses.map((loss) => ({
    severity: 'warning',
    what: `${count(loss.rows)} rows of ${loss.table} were lost in the last hour`,
    why: loss.reason.replaceAll('_', ' '),
    to: `/tables/${encodeURIComponent('losses')}`,
  }));
}

function ofSchedules(schedules: Shapes['Schedule'][]): Problem[] {
  return schedules
    .filter((schedule) => schedule.reason)
    .map((schedule) => ({
      severity: 'warning',
      what: `Schedule ${schedule.name} did not run as it should`,
      why: schedule.reason ?? '',
      to: '/schedules',
    }));
}

function names(all: string[]): string {
  return all.length <= NAMED ? all.join(', ') : `${all.slice(0, NAMED).join(', ')} and ${all.length - NAMED} more`;
}
