/** One node: what it is, its usage, its services, modules with their cost, jobs, messages. */
import { DeleteOutlined, PlayCircleOutlined, SyncOutlined, TagsOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import {
  Alert,
  App,
  Button,
  Card,
  Descriptions,
  Form,
  Input,
  Modal,
  type TableColumnsType,
  Tabs,
  Typography,
} from 'antd';
import { useState } from 'react';
import { type JobRow, jobRows } from '../jobs/command';
import { jobColumns } from '../jobs/Jobs';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Ago, Labels, State } from '../kit/bits';
import { bytes } from '../kit/format';
import { useRole } from '../kit/login';
import { Failure, Loaded, Nothing, Page } from '../kit/Page';
import { commandsQuery, instancesQuery, servicesQuery } from '../kit/queries';
import { Rows } from '../kit/Rows';
import { useAddress } from '../kit/search';
import { LogView } from '../logs/LogView';
import { type InstanceRow, instanceColumns } from '../modules/instances';
import { NodeConfiguration } from './NodeConfiguration';
import { NodeUsage } from './NodeUsage';

type Node = Shapes['Node'];

export function NodePage() {
  const { node } = useParams({ from: '/nodes/$node' });
  const query = useQuery({
    queryKey: ['node', node],
    queryFn: ({ signal }) => take(api.GET('/api/v1/nodes/{node}', { signal, params: { path: { node } } })),
    refetchInterval: 5000,
  });
  return (
    <Page
      title={node}
      aside={query.data && <State state={query.data.state} />}
      actions={query.data && <Actions node={query.data} />}
    >
      <Loaded query={query}>{(data) => <NodeView node={data} />}</Loaded>
    </Page>
  );
}

function Actions({ node }: { node: Node }) {
  const [act, busy] = useAction();
  const [labelling, setLabelling] = useState(false);
  const { modal } = App.useApp();
  const navigate = useNavigate();
  const operator = useRole('operator');
  const admin = useRole('admin');
  const params = { path: { node: `${node.gid}/${node.nid}` } };
  const remove = () =>
    modal.confirm({
      title: `Remove ${node.name} from the fleet?`,
      content: 'Its certificate is revoked. It can join again only with a new token.',
      okText: 'Remove',
      okButtonProps: { danger: true },
      onOk: async () => {
        const done = await act(
          () => take(api.DELETE('/api/v1/nodes/{node}', { params })).then(() => true),
          `${node.name} is removed.`,
        );
        if (done) void navigate({ to: '/nodes' });
      },
    });
  return (
    <>
      {operator && (
        <>
          <Link to="/run" search={{ nodes: node.name }}>
            <Button icon={<PlayCircleOutlined />}>Run on it</Button>
          </Link>
          <Button icon={<TagsOutlined />} onClick={() => setLabelling(true)}>
            Labels
          </Button>
        </>
      )}
      {admin && (
        <Button danger icon={<DeleteOutlined />} disabled={busy} onClick={remove}>
          Remove
        </Button>
      )}
      {labelling && <LabelForm node={node} close={() => setLabelling(false)} />}
    </>
  );
}

function LabelForm({ node, close }: { node: Node; close: () => void }) {
  const written = Object.entries(node.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const [line, setLine] = useState(written.join('\n'));
  const [act, busy] = useAction();
  const save = async () => {
    const wanted = new Map(
      line
        .split('\n')
        .map((each) => each.trim())
        .filter(Boolean)
        .map((each) => [each.split('=')[0] ?? '', each.split('=').slice(1).join('=')] as const),
    );
    const gone = Object.keys(node.labels ?? {}).filter((key) => !wanted.has(key));
    const body: Record<string, string | null> = {
      ...Object.fromEntries(wanted),
      ...Object.fromEntries(gone.map((key) => [key, null])),
    };
    const params = { path: { node: `${node.gid}/${node.nid}` } };
    if (await act(() => take(api.PATCH('/api/v1/nodes/{node}/labels', { params, body })), 'The labels are set.'))
      close();
  };
  return (
    <Modal
      open
      title={`Labels of ${node.name}`}
      okText="Save"
      confirmLoading={busy}
      onCancel={close}
      onOk={() => void save()}
    >
      <Form layout="vertical">
        <Form.Item label="One key=value a line" htmlFor="labels">
          <Input.TextArea
            id="labels"
            className="mono"
            autoSize={{ minRows: 4 }}
            value={line}
            onChange={(event) => setLine(event.target.value)}
          />
        </Form.Item>
      </Form>
    </Modal>
  );
}

function NodeView({ node }: { node: Node }) {
  const [view, change] = useAddress<'tab'>();
  return (
    <>
      {node.state === 'OFFLINE' && (
        <Alert
          type="error"
          showIcon
          title="It is offline."
          description={
            <>
              It was last heard <Ago time={node.seen_at} />. Its services go on; what it collects is kept on it and sent
              when it is back.
            </>
          }
        />
      )}
      {(node.held_revision ?? 0) > 0 && <Held node={node} />}
      <Tabs
        activeKey={view.tab ?? 'facts'}
        onChange={(tab) => change({ tab: tab === 'facts' ? '' : tab })}
        destroyOnHidden
        items={[
          { key: 'facts', label: 'Facts', children: <FactsCard node={node} /> },
          {
            key: 'usage',
            label: 'Usage',
            children: <NodeUsage node={node} />,
          },
          { key: 'services', label: 'Services', children: <ServicesOf node={node} /> },
          { key: 'modules', label: 'Modules', children: <ModulesOf node={node} /> },
          { key: 'jobs', label: 'Jobs', children: <JobsOf node={node} /> },
          { key: 'logs', label: 'Logs', children: <LogView fixed={{ nodes: node.name }} /> },
          { key: 'configuration', label: 'Configuration', children: <NodeConfiguration node={node} /> },
        ]}
      />
    </>
  );
}

function Held({ node }: { node: Node }) {
  const [act, busy] = useAction();
  const may = useRole('operator');
  const params = { path: { node: `${node.gid}/${node.nid}` } };
  return (
    <Alert
      type="warning"
      showIcon
      title="It keeps a later desired set than the server has."
      description="The server was restored from an older state. The node changes nothing until it is sent the present one."
      action={
        may && (
          <Button
            icon={<SyncOutlined />}
            loading={busy}
            onClick={() => void act(() => take(api.POST('/api/v1/nodes/{node}/sync', { params })), 'It is sent.')}
          >
            Send it
          </Button>
        )
      }
    />
  );
}

function FactsCard({ node }: { node: Node }) {
  const facts = node.facts ?? {};
  const items = [
    ['Identity', `${node.gid}/${node.nid} (grid/node)`],
    ['Labels', Object.keys(node.labels ?? {}).length ? <Labels key="labels" labels={node.labels} /> : 'none'],
    [
      'Labels it claims, not in force',
      Object.keys(node.claimed_labels ?? {}).length ? <Labels key="claimed" labels={node.claimed_labels} /> : 'none',
    ],
    ['System', facts.os],
    ['Kernel', `${facts.kernel ?? ''} ${facts.arch ?? ''}`],
    ['CPUs', facts.cpus],
    ['Memory', bytes(facts.memory_bytes ?? 0)],
    ['Addresses', facts.addresses?.join(', ')],
    ['Modules can run', facts.ebpf ? 'yes' : `no: ${facts.ebpf_reason ?? ''}`],
    ['Cgroups', facts.cgroups],
    ['Agent', `${facts.agent_version ?? ''}, ${node.agent_id}`],
    ['Machine id', facts.machine_id],
    [
      'Desired set',
      node.revision === node.acted_revision
        ? `revision ${node.revision ?? 0}, acted on`
        : `revision ${node.revision ?? 0}; acted on ${node.acted_revision ?? 0}`,
    ],
    ['Joined', <Ago key="joined" time={node.joined_at} />],
    ['Last heard', <Ago key="seen" time={node.seen_at} />],
  ] as const;
  return (
    <Card size="small">
      <Descriptions
        column={{ xs: 1, lg: 2 }}
        size="small"
        items={items.map(([label, children]) => ({ key: label, label, children }))}
      />
    </Card>
  );
}

function ServicesOf({ node }: { node: Node }) {
  const services = useQuery(servicesQuery);
  const names = services.data?.map((each) => each.service.name ?? '') ?? [];
  const on = useQuery({
    queryKey: ['services on', `${node.gid}/${node.nid}`, names],
    queryFn: async ({ signal }) => {
      const all = names.map((service) =>
        take(api.GET('/api/v1/services/{service}', { signal, params: { path: { service } } })),
      );
      const whole = await Promise.all(all);
      return whole.flatMap((each) => each.nodes ?? []).filter((each) => each.gid === node.gid && each.nid === node.nid);
    },
    enabled: services.data !== undefined,
    refetchInterval: 5000,
  });
  const columns: TableColumnsType<Shapes['ServiceOnNode']> = [
    {
      title: 'Service',
      width: 160,
      render: (_, each) => (
        <Link to="/services/$service" params={{ service: each.name }}>
          {each.name}
        </Link>
      ),
    },
    { title: 'State', width: 120, render: (_, each) => <State state={each.status.state} /> },
    { title: 'Why', render: (_, each) => [each.status.reason, each.status.health].filter(Boolean).join('; ') },
    { title: 'Since', width: 120, render: (_, each) => <Ago time={each.status.since} /> },
    { title: 'Restarts', width: 90, align: 'right', render: (_, each) => each.status.restarts ?? 0 },
  ];
  return (
    <Loaded query={on}>
      {(rows) => (
        <Rows
          rowKey="name"
          columns={columns}
          dataSource={rows}
          empty={<Nothing why="No service runs on this node.">Services choose their nodes by a selector.</Nothing>}
        />
      )}
    </Loaded>
  );
}

function ModulesOf({ node }: { node: Node }) {
  const instances = useQuery(instancesQuery);
  return (
    <Loaded query={instances}>
      {(all) => (
        <Rows<InstanceRow>
          rowKey="id"
          columns={instanceColumns({ module: true })}
          width={1000}
          dataSource={all.filter((each) => each.gid === node.gid && each.nid === node.nid)}
          empty={
            <Nothing why="No module runs on this node.">
              <Link to="/modules">Deploy one</Link>.
            </Nothing>
          }
        />
      )}
    </Loaded>
  );
}

function JobsOf({ node }: { node: Node }) {
  const commands = useQuery(commandsQuery);
  const navigate = useNavigate();
  const jobs = useQuery({
    queryKey: ['jobs', 'of', node.name],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/jobs', { signal, params: { query: { node: [`${node.gid}/${node.nid}`], limit: 200 } } })),
    refetchInterval: 5000,
  });
  if (jobs.error && !jobs.data) return <Failure error={jobs.error} />;
  return (
    <>
      <Typography.Paragraph type="secondary">The newest 200.</Typography.Paragraph>
      <Rows<JobRow>
        rowKey={(job) => job.id}
        loading={jobs.isPending}
        columns={jobColumns({ node: false })}
        width={1000}
        dataSource={jobRows(jobs.data ?? [], commands.data ?? [])}
        open={(job) =>
          void navigate({ to: '/jobs/$command', params: { command: job.id }, search: { node: job.node_name } })
        }
        empty={
          <Nothing why="Nothing was run on this node.">
            <Link to="/run" search={{ nodes: node.name }}>
              Run something on it
            </Link>
            .
          </Nothing>
        }
      />
    </>
  );
}
