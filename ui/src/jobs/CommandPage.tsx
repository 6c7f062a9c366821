/** One command: what it was, its job on each node, and its output as it comes. */
import { CalendarOutlined, RedoOutlined, StopOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { Alert, App, Button, Card, Col, Collapse, Descriptions, Flex, Row, Select, Timeline, Typography } from 'antd';
import { useState } from 'react';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Ago, State, States } from '../kit/bits';
import { duration, moment } from '../kit/format';
import { Lines } from '../kit/Lines';
import { LiveState } from '../kit/LiveState';
import { useRole } from '../kit/login';
import { Failure, Loaded, Nothing, Page } from '../kit/Page';
import { scriptQuery } from '../kit/queries';
import { useAddress } from '../kit/search';
import { writeSelector } from '../kit/selector';
import { isOpen, lineOf, scriptOf } from './command';
import { useOutput } from './output';

type Whole = Shapes['CommandWithJobs'];

export function CommandPage() {
  const { command } = useParams({ from: '/jobs/$command' });
  const query = useQuery({
    queryKey: ['command', command],
    queryFn: ({ signal }) => take(api.GET('/api/v1/commands/{command}', { signal, params: { path: { command } } })),
    refetchInterval: 10_000,
  });
  return (
    <Page
      title="Command"
      aside={<Typography.Text type="secondary">{command}</Typography.Text>}
      actions={query.data && <Actions command={query.data} />}
    >
      <Loaded query={query}>{(data) => <CommandView key={data.id} command={data} />}</Loaded>
    </Page>
  );
}

function Actions({ command }: { command: Whole }) {
  const [act, busy] = useAction();
  const navigate = useNavigate();
  const { modal } = App.useApp();
  const path = { command: command.id };
  if (!useRole('operator')) return null;
  const again = async () => {
    const made = await act(
      () => take(api.POST('/api/v1/commands/{command}/rerun', { params: { path } })),
      'It runs again.',
    );
    if (made) void navigate({ to: '/jobs/$command', params: { command: made.id } });
  };
  const cancel = () =>
    modal.confirm({
      title: 'End its jobs that are not over?',
      okText: 'End them',
      okButtonProps: { danger: true },
      onOk: () =>
        act(
          () => take(api.POST('/api/v1/commands/{command}/kill', { params: { path }, body: {} })),
          'Its jobs are being ended.',
        ),
    });
  const open = command.jobs?.some((job) => isOpen(job.state));
  return (
    <>
      <Button danger icon={<StopOutlined />} disabled={!open || busy} onClick={cancel}>
        Cancel
      </Button>
      <Button icon={<RedoOutlined />} disabled={busy} onClick={() => void again()}>
        Run again
      </Button>
      <Link to="/run" search={{ from: command.id }}>
        <Button icon={<CalendarOutlined />}>Change or schedule</Button>
      </Link>
    </>
  );
}

function CommandView({ command }: { command: Whole }) {
  const [view, change] = useAddress<'node'>();
  const output = useOutput(command.id);
  const jobs = (command.jobs ?? []).map((job) => output.jobs.get(job.node_name) ?? job);
  const states: Record<string, number> = {};
  for (const job of jobs) states[job.state] = (states[job.state] ?? 0) + 1;
  const job = jobs.find((each) => each.node_name === view.node) ?? (jobs.length === 1 ? jobs[0] : undefined);
  const messages = view.node ? output.messages.filter((message) => message.node === view.node) : output.messages;
  return (
    <>
      <Card size="small">
        <Flex vertical gap={8}>
          <Typography.Text className="mono" copyable strong style={{ whiteSpace: 'pre-wrap' }}>
            {lineOf(command)}
          </Typography.Text>
          {scriptOf(command) && <Script sha256={scriptOf(command)} />}
          <Flex gap={12} wrap align="center">
            <span>
              <States states={states} running />
            </span>
            <Typography.Text type="secondary">
              on {writeSelector(command.selector) || 'every node'}, asked by {command.actor || 'nobody known'}{' '}
              <Ago time={command.create_time} />
            </Typography.Text>
            {output.live.state !== 'ended' && <LiveState live={output.live} />}
          </Flex>
        </Flex>
      </Card>
      {output.live.error && <Failure error={output.live.error} />}
      {output.problems.size > 0 && (
        <Alert
          type="warning"
          showIcon
          title="Some output may be missing"
          description={[...output.problems].join('\n')}
        />
      )}
      <Row gutter={[16, 16]}>
        <Col xs={24} xl={17}>
          <Flex vertical gap={8}>
            <Select
              showSearch
              aria-label="Node"
              style={{ width: 280 }}
              value={view.node ?? ''}
              onChange={(node) => change({ node })}
              options={[
                { value: '', label: `All ${jobs.length} nodes` },
                ...jobs.map((each) => ({ value: each.node_name, label: `${each.node_name}: ${each.state}` })),
              ]}
            />
            {output.dropped > 0 && (
              <Typography.Text type="secondary">
                The first {output.dropped} lines are not kept here; the logs have them.
              </Typography.Text>
            )}
            <Lines
              messages={messages}
              height="max(320px, calc(100vh - 320px))"
              nodes={jobs.length > 1 && !view.node}
              empty={
                <Nothing
                  why={
                    output.live.state === 'ended'
                      ? 'It printed nothing.'
                      : jobs.some((each) => isOpen(each.state))
                        ? 'It has printed nothing yet.'
                        : 'Its output is being read.'
                  }
                />
              }
            />
          </Flex>
        </Col>
        <Col xs={24} xl={7}>
          {job ? <JobCard job={job} /> : <JobList jobs={jobs} choose={(node) => change({ node })} />}
        </Col>
      </Row>
    </>
  );
}

/** The source of a script, once it is asked for. */
function Script({ sha256 }: { sha256: string }) {
  const [open, setOpen] = useState(false);
  const query = useQuery({ ...scriptQuery(sha256), enabled: open });
  return (
    <Collapse
      ghost
      size="small"
      onChange={(keys) => setOpen(keys.length > 0)}
      items={[
        {
          key: 'script',
          label: 'Script',
          children: (
            <Loaded query={query}>
              {({ source }) => (
                <pre
                  className="mono"
                  // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
                  tabIndex={0}
                  style={{ margin: 0, maxHeight: 320, overflow: 'auto', whiteSpace: 'pre-wrap' }}
                >
                  {source}
                </pre>
              )}
            </Loaded>
          ),
        },
      ]}
    />
  );
}

function JobList({ jobs, choose }: { jobs: Shapes['Job'][]; choose: (node: string) => void }) {
  return (
    <Card size="small" title="On each node" styles={{ body: { maxHeight: 480, overflow: 'auto' } }}>
      {jobs.map((job) => (
        <Flex key={job.node_name} justify="space-between" align="center" gap={8}>
          <Button type="link" size="small" style={{ padding: 0 }} onClick={() => choose(job.node_name)}>
            {job.node_name}
          </Button>
          <span>
            <Typography.Text type="secondary">{job.reason}</Typography.Text> <State state={job.state} running />
          </span>
        </Flex>
      ))}
    </Card>
  );
}

function JobCard({ job }: { job: Shapes['Job'] }) {
  const result = job.result;
  const steps = [
    { title: 'asked', time: job.create_time ?? 0 },
    { title: 'accepted by the node', time: job.accept_time ?? 0 },
    { title: 'started', time: (result?.starttime ?? 0) / 1000 },
    {
      title: `${job.state}${job.reason ? `: ${job.reason}` : ''}`,
      time: result?.starttime ? (result.starttime + (result.time ?? 0)) / 1000 : (job.last_update_time ?? 0),
    },
  ].filter((step) => step.time > 0);
  return (
    <Card size="small" title={`On ${job.node_name}`} extra={<State state={job.state} running />}>
      <Descriptions
        column={1}
        size="small"
        items={[
          { key: 'reason', label: 'Reason', children: job.reason || 'none' },
          { key: 'code', label: 'Exit code', children: result?.code ?? 'none' },
          {
            key: 'took',
            label: 'Took',
            children: result?.starttime ? duration((result.time ?? 0) / 1000) : 'not over',
          },
          { key: 'critical', label: 'Critical', children: result?.critical || 'nothing' },
        ]}
      />
      {result?.data && (
        <pre className="mono" style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
          {result.data}
        </pre>
      )}
      <Timeline
        style={{ marginTop: 12 }}
        items={steps.map((step) => ({
          key: step.title,
          title: undefined,
          content: `${moment(step.time).slice(11)} ${step.title}`,
        }))}
      />
    </Card>
  );
}
