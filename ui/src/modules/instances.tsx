/** The instances of modules as rows: state, reason, and their cost. */
import { Link } from '@tanstack/react-router';
import { type TableColumnsType, Typography } from 'antd';
import type { Shapes } from '../kit/api';
import { Ago, State } from '../kit/bits';
import { bytes, count } from '../kit/format';

export type InstanceRow = Shapes['Instance'];

/** Return the share of one CPU that nanoseconds since a time are, in percent; undefined before a second has passed. */
export function share(ns: number, since: number, now = Date.now() / 1000): number | undefined {
  const passed = now - since;
  return since > 0 && passed > 1 ? (ns / 1e9 / passed) * 100 : undefined;
}

function percent(value: number | undefined): string {
  return value === undefined ? '' : `${value < 0.1 ? value.toFixed(3) : value.toFixed(2)} %`;
}

export function instanceColumns({ module }: { module: boolean }): TableColumnsType<InstanceRow> {
  const which: TableColumnsType<InstanceRow>[number] = module
    ? {
        title: 'Module',
        width: 170,
        render: (_, each) => (
          <Link to="/modules/$module" params={{ module: each.module_name }}>
            {each.module_name}
          </Link>
        ),
      }
    : {
        title: 'Node',
        width: 150,
        render: (_, each) => (
          <Link to="/nodes/$node" params={{ node: each.node_name }}>
            {each.node_name}
          </Link>
        ),
      };
  return [
    which,
    { title: 'State', width: 120, render: (_, each) => <State state={each.status.state} /> },
    {
      title: 'Why',
      width: 220,
      render: (_, each) => (
        <>
          {each.status.reason && (
            <Typography.Text type={each.status.state === 'FAILED' ? 'danger' : undefined}>
              {each.status.reason}
            </Typography.Text>
          )}
          {each.status.warnings?.map((warning) => (
            <div key={warning}>{warning}</div>
          ))}
          {each.status.dropped?.map((dropped) => (
            <div key={dropped.program}>
              {dropped.program}: {dropped.reason}
            </div>
          ))}
        </>
      ),
    },
    { title: 'Since', width: 100, render: (_, each) => <Ago time={each.status.since} /> },
    { title: 'Rows', width: 100, align: 'right', render: (_, each) => count(each.stats?.rows ?? 0) },
    {
      title: 'Lost',
      width: 80,
      align: 'right',
      render: (_, each) =>
        each.stats?.lost ? <Typography.Text type="danger">{count(each.stats.lost)}</Typography.Text> : 0,
    },
    {
      title: 'CPU, kernel',
      width: 120,
      align: 'right',
      render: (_, each) => percent(share(each.stats?.kernel_ns ?? 0, each.status.since ?? 0)),
    },
    {
      title: 'CPU, agent',
      width: 120,
      align: 'right',
      render: (_, each) => percent(share(each.stats?.agent_ns ?? 0, each.status.since ?? 0)),
    },
    { title: 'Memory', width: 100, align: 'right', render: (_, each) => bytes(each.stats?.memory_bytes ?? 0) },
  ];
}

/** What the verifier or libbpf said, and where its programs are attached. */
export function InstanceDetail({ instance }: { instance: InstanceRow }) {
  const { attached = [], log = [] } = instance.status;
  return (
    <>
      {attached.length > 0 && (
        <div className="mono">
          {attached.map((line) => (
            <div key={line}>{line}</div>
          ))}
        </div>
      )}
      {log.length > 0 && (
        <pre className="mono" style={{ maxHeight: 360, overflow: 'auto', margin: '8px 0 0' }}>
          {log.join('\n')}
        </pre>
      )}
      {!attached.length && !log.length && 'It has said nothing.'}
    </>
  );
}
