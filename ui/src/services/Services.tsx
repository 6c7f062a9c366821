/** The list of services, and the file that declares more. */
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Button, Flex, Input, Segmented, type TableColumnsType, Typography } from 'antd';
import { quoted } from '../jobs/command';
import type { Shapes } from '../kit/api';
import { Ago, States } from '../kit/bits';
import { useRole } from '../kit/login';
import { Loaded, Nothing, Page } from '../kit/Page';
import { servicesQuery } from '../kit/queries';
import { Rows } from '../kit/Rows';
import { useAddress } from '../kit/search';
import { writeSelector } from '../kit/selector';

type Info = Shapes['ServiceInfo'];

const BAD = ['FAILED', 'UNHEALTHY', 'BACKOFF'] as const;

export function isBad(info: Info): boolean {
  return BAD.some((state) => (info.states?.[state] ?? 0) > 0);
}

const COLUMNS: TableColumnsType<Info> = [
  {
    title: 'Service',
    width: 160,
    render: (_, info) => (
      <Link to="/services/$service" params={{ service: info.service.name ?? '' }}>
        {info.service.name}
      </Link>
    ),
    sorter: (a, b) => (a.service.name ?? '').localeCompare(b.service.name ?? ''),
    defaultSortOrder: 'ascend',
  },
  { title: 'On nodes', width: 220, render: (_, info) => <States states={info.states} /> },
  {
    title: 'Why',
    width: 260,
    ellipsis: true,
    render: (_, info) => <Typography.Text type="danger">{info.reason}</Typography.Text>,
  },
  {
    title: 'Command',
    width: 280,
    ellipsis: true,
    render: (_, info) => <span className="mono">{quoted([...info.service.command])}</span>,
  },
  {
    title: 'Where',
    width: 160,
    ellipsis: true,
    render: (_, info) => writeSelector(info.service.selector) || 'every node',
  },
  { title: 'Group', dataIndex: 'group', width: 110 },
  { title: 'Changed', width: 110, render: (_, info) => <Ago time={info.last_update_time} /> },
];

export function Services() {
  const query = useQuery(servicesQuery);
  const [view, change] = useAddress<'q' | 'state'>();
  const navigate = useNavigate();
  const may = useRole('operator');
  const wanted = (view.q ?? '').toLowerCase();
  const matches = (info: Info) =>
    `${info.service.name} ${info.group ?? ''} ${info.service.command.join(' ')}`.toLowerCase().includes(wanted) &&
    (view.state !== 'bad' || isBad(info));
  return (
    <Page
      title="Services"
      actions={
        may && (
          <Link to="/services/edit">
            <Button type="primary">Declare a service</Button>
          </Link>
        )
      }
    >
      <Flex gap={8} wrap>
        <Input
          allowClear
          style={{ width: 260 }}
          placeholder="Name, group, command"
          aria-label="Text to find"
          value={view.q ?? ''}
          onChange={(event) => change({ q: event.target.value })}
        />
        <Segmented
          value={view.state ?? ''}
          onChange={(state) => change({ state })}
          options={[
            { value: '', label: 'All' },
            { value: 'bad', label: 'Not well' },
          ]}
        />
      </Flex>
      <Loaded query={query}>
        {(services) => (
          <Rows<Info>
            rowKey={(info) => info.service.name ?? ''}
            columns={COLUMNS}
            width={1150}
            dataSource={services.filter(matches)}
            open={(info) => void navigate({ to: '/services/$service', params: { service: info.service.name ?? '' } })}
            empty={
              services.length ? (
                <Nothing why="No service matches the filter.">
                  {view.state === 'bad' ? 'All services are well.' : 'Remove a part of it.'}
                </Nothing>
              ) : (
                <Nothing why="No service is declared.">
                  <Link to="/services/edit">Declare one</Link>: a program that nodes keep running.
                </Nothing>
              )
            }
          />
        )}
      </Loaded>
    </Page>
  );
}
