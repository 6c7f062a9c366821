/** The list of services, and the file that declares more. */
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Button, type TableColumnsType, Typography } from 'antd';
import { quoted } from '../jobs/command';
import type { Shapes } from '../kit/api';
import { Ago, States } from '../kit/bits';
import { ListPage } from '../kit/ListPage';
import { useRole } from '../kit/login';
import { Nothing } from '../kit/Page';
import { servicesQuery } from '../kit/queries';
import { writeSelector } from '../kit/selector';

type Info = Shapes['ServiceInfo'];

const BAD = ['FAILED', 'UNHEALTHY', 'BACKOFF'] as const;

export function isBad(info: Info): boolean {
  return BAD.some((state) => (info.states?.[state] ?? 0) > 0);
}

const COLUMNS: TableColumnsType<Info> = [
  {
    title: 'Service',
    width: 140,
    render: (_, info) => (
      <Link to="/services/$service" params={{ service: info.service.name ?? '' }}>
        {info.service.name}
      </Link>
    ),
    sorter: (a, b) => (a.service.name ?? '').localeCompare(b.service.name ?? ''),
    defaultSortOrder: 'ascend',
  },
  { title: 'On nodes', width: 190, render: (_, info) => <States states={info.states} /> },
  {
    title: 'Why',
    width: 250,
    render: (_, info) => <Typography.Text type="danger">{info.reason}</Typography.Text>,
  },
  {
    title: 'Command',
    width: 230,
    ellipsis: true,
    render: (_, info) => <span className="mono">{quoted([...info.service.command])}</span>,
  },
  {
    title: 'Where',
    width: 140,
    ellipsis: true,
    render: (_, info) => writeSelector(info.service.selector) || 'every node',
  },
  { title: 'Group', dataIndex: 'group', width: 100 },
  { title: 'Changed', width: 100, render: (_, info) => <Ago time={info.last_update_time} /> },
];

export function Services() {
  const query = useQuery(servicesQuery);
  const navigate = useNavigate();
  const may = useRole('operator');
  return (
    <ListPage<Info>
      title="Services"
      noun="service"
      actions={
        may && (
          <Link to="/services/edit">
            <Button type="primary">Declare a service</Button>
          </Link>
        )
      }
      query={query}
      find={{
        text: ({ service, group = '' }) => `${service.name} ${group} ${service.command.join(' ')}`,
        hint: 'Name, group, command',
      }}
      choices={[{ value: 'bad', label: 'Not well', matches: isBad, none: 'All services are well.' }]}
      rowKey={(info) => info.service.name ?? ''}
      columns={COLUMNS}
      width={1150}
      open={(info) => void navigate({ to: '/services/$service', params: { service: info.service.name ?? '' } })}
      empty={
        <Nothing why="No service is declared.">
          <Link to="/services/edit">Declare one</Link>: a program that nodes keep running.
        </Nothing>
      }
    />
  );
}
