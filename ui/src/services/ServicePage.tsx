/** One service: why it is as it is on each node, its usage and restarts over time, its messages. */
import { DeleteOutlined, EditOutlined, FileTextOutlined, ReloadOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { Alert, App, Button, Card, Col, Descriptions, Row, type TableColumnsType, Typography } from 'antd';
import { quoted } from '../jobs/command';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Ago, State, States } from '../kit/bits';
import { duration } from '../kit/format';
import { useRole } from '../kit/login';
import { Loaded, Nothing, Page } from '../kit/Page';
import { RangeChoice } from '../kit/RangeChoice';
import { Rows } from '../kit/Rows';
import { rangeOf } from '../kit/ranges';
import { useAddress } from '../kit/search';
import { writeSelector } from '../kit/selector';
import { Usage } from '../kit/Usage';

type Whole = Shapes['ServiceWithNodes'];
type OnNode = Shapes['ServiceOnNode'];

export function ServicePage() {
  const { service } = useParams({ from: '/services/$service' });
  const query = useQuery({
    queryKey: ['service', service],
    queryFn: ({ signal }) => take(api.GET('/api/v1/services/{service}', { signal, params: { path: { service } } })),
    refetchInterval: 3000,
  });
  return (
    <Page
      title={service}
      aside={query.data && <States states={query.data.states} />}
      actions={<Actions service={service} />}
    >
      <Loaded query={query}>{(data) => <ServiceView whole={data} />}</Loaded>
    </Page>
  );
}

function Actions({ service }: { service: string }) {
  const [act, busy] = useAction();
  const navigate = useNavigate();
  const { modal } = App.useApp();
  const params = { path: { service } };
  const may = useRole('operator');
  const restart = async () => {
    const made = await act(
      () => take(api.POST('/api/v1/services/{service}/restart', { params, body: {} })),
      'It is being restarted.',
    );
    if (made) void navigate({ to: '/jobs/$command', params: { command: made.id } });
  };
  const remove = () =>
    modal.confirm({
      title: `Remove ${service} from all nodes?`,
      content: 'Its processes are ended.',
      okText: 'Remove',
      okButtonProps: { danger: true },
      onOk: async () => {
        const done = await act(
          () => take(api.DELETE('/api/v1/services/{service}', { params })).then(() => true),
          'It is being removed.',
        );
        if (done) void navigate({ to: '/services' });
      },
    });
  return (
    <>
      <Link to="/logs" search={{ name: service }}>
        <Button icon={<FileTextOutlined />}>Logs</Button>
      </Link>
      {may && (
        <>
          <Button icon={<ReloadOutlined />} disabled={busy} onClick={() => void restart()}>
            Restart
          </Button>
          <Link to="/services/edit" search={{ service }}>
            <Button icon={<EditOutlined />}>Edit</Button>
          </Link>
          <Button danger icon={<DeleteOutlined />} disabled={busy} onClick={remove}>
            Remove
          </Button>
        </>
      )}
    </>
  );
}

const COLUMNS: TableColumnsType<OnNode> = [
  {
    title: 'Node',
    width: 110,
    render: (_, on) => (
      <Link to="/nodes/$node" params={{ node: on.node_name }}>
        {on.node_name}
      </Link>
    ),
  },
  { title: 'State', width: 110, render: (_, on) => <State state={on.status.state} /> },
  {
    title: 'Why',
    width: 220,
    render: (_, on) =>
      [on.wanted === false && 'being removed', on.status.reason, on.status.health].filter(Boolean).join('; '),
  },
  { title: 'Since', width: 90, render: (_, on) => <Ago time={on.status.since} /> },
  { title: 'Restarts', width: 80, align: 'right', render: (_, on) => on.status.restarts ?? 0 },
  {
    title: 'Previous end',
    width: 100,
    render: (_, on) => on.status.ended || (on.status.code == null ? '' : `exit code ${on.status.code}`),
  },
  { title: 'PID', width: 70, align: 'right', render: (_, on) => on.status.pid },
];

function ServiceView({ whole }: { whole: Whole }) {
  const [view, change] = useAddress<'range'>();
  const range = rangeOf(view.range);
  const { service } = whole;
  const health = service.health;
  return (
    <>
      {whole.reason && (
        <Alert
          type="error"
          showIcon
          title={whole.reason}
          action={
            <Link to="/logs" search={{ name: service.name ?? '', range: '1d' }}>
              What it printed
            </Link>
          }
        />
      )}
      <Row gutter={[16, 16]}>
        <Col xs={24} xl={16}>
          <Card size="small" title="On each node">
            <Rows<OnNode>
              rowKey={(on) => `${on.gid}/${on.nid}`}
              columns={COLUMNS}
              width={740}
              dataSource={whole.nodes ?? []}
              empty={
                <Nothing why="No node runs it.">
                  Its selector matches none: {writeSelector(service.selector) || 'every node'}.
                </Nothing>
              }
            />
          </Card>
        </Col>
        <Col xs={24} xl={8}>
          <Card size="small" title="What is declared">
            <Descriptions
              column={1}
              size="small"
              items={[
                {
                  key: 'command',
                  label: 'Command',
                  children: (
                    <Typography.Text className="mono" style={{ whiteSpace: 'pre-wrap' }}>
                      {quoted([...service.command])}
                    </Typography.Text>
                  ),
                },
                { key: 'where', label: 'Where', children: writeSelector(service.selector) || 'every node' },
                { key: 'after', label: 'After', children: service.after?.join(', ') || 'nothing' },
                {
                  key: 'health',
                  label: 'Health',
                  children: health ? (health.http ?? health.tcp ?? quoted([...(health.command ?? [])])) : 'not checked',
                },
                {
                  key: 'restart',
                  label: 'Restarts',
                  children: (service.max_restart ?? -1) < 0 ? 'always' : `at most ${service.max_restart}`,
                },
                { key: 'limits', label: 'Limits', children: limits(service) || 'none' },
                { key: 'group', label: 'Group', children: whole.group || 'none' },
                {
                  key: 'by',
                  label: 'Changed',
                  children: (
                    <span>
                      by {whole.actor || 'nobody known'}, <Ago time={whole.last_update_time} />
                    </span>
                  ),
                },
              ]}
            />
          </Card>
        </Col>
      </Row>
      <Usage
        service={service.name ?? ''}
        title="CPU and memory"
        range={range}
        choice={<RangeChoice value={range} onChange={(chosen) => change({ range: chosen })} />}
      />
    </>
  );
}

function limits(service: Shapes['Service']): string {
  const { memory, cpus, pids, max_time } = service;
  return [
    memory != null && `memory ${memory}`,
    cpus != null && `${cpus} CPUs`,
    pids != null && `${pids} processes`,
    (max_time ?? -1) > 0 && duration(max_time ?? 0),
  ]
    .filter(Boolean)
    .join(', ');
}
