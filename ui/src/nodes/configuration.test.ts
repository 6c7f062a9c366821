import { expect, test } from 'vitest';
import { lastRead, settingsOf } from './configuration';

test('nested keys are dotted, and lists and empty groups are one value', () => {
  const config = { name: '', heartbeat_s: 10, jobs: { allow: ['get_*', 'ping'] }, labels: {} };
  expect(settingsOf(config)).toEqual([
    { key: 'name', value: '' },
    { key: 'heartbeat_s', value: '10' },
    { key: 'jobs.allow', value: '["get_*","ping"]' },
    { key: 'labels', value: '{}' },
  ]);
});

test('the newest job counts that has the configuration', () => {
  const job = (id: string, cmd: string, state: string, data: string) =>
    ({ id, gid: 1, nid: 1, node_name: 'a', cmd, state, result: { data } }) as unknown as Parameters<
      typeof lastRead
    >[0][0];
  const jobs = [
    job('4', 'ping', 'OK', '{}'),
    job('3', 'get_config', 'REFUSED', ''),
    job('2', 'get_config', 'OK', '{}'),
  ];
  expect(lastRead([...jobs, job('1', 'get_config', 'OK', '{}')])?.id).toBe('2');
  expect(lastRead([])).toBeUndefined();
});
