/** The first page: what is wrong, in words, then the fleet at a glance. */
import { CheckCircleFilled, CloseCircleFilled, RightOutlined, WarningFilled } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Card, Col, Flex, Progress, Row, Statistic, Typography, theme } from 'antd';
import type { ReactNode } from 'react';
import { ApiError, api, take } from '../kit/api';
import { States } from '../kit/bits';
import { bytes, count } from '../kit/format';
import { Failure, Page } from '../kit/Page';
import { instancesQuery, nodesQuery, rowsQuery, schedulesQuery, serverQuery, servicesQuery } from '../kit/queries';
import { NoNodes } from '../nodes/NoNodes';
import { LatestCommands, LatestErrors } from './Latest';
import { type Problem, problems } from './problems';

const HOUR_S = 3600;
const LOSSES =
  'SELECT "table", toString(reason) AS reason, sum("rows") AS lost FROM losses WHERE time > now() - INTERVAL 1 HOUR GROUP BY ALL ORDER BY lost DESC LIMIT 5';
const FAILED = ['ERROR', 'TIMEOUT', 'LOST', 'REFUSED', 'UNKNOWN_CMD', 'EXPIRED'];

function useJobs() {
  return useQuery({
    queryKey: ['jobs', 'last hour'],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/jobs', { signal, params: { query: { since: Date.now() / 1000 - HOUR_S, limit: 1000 } } })),
    refetchInterval: 5000,
  });
}

export function Overview() {
  const nodes = useQuery(nodesQuery);
  const services = useQuery(servicesQuery);
  const instances = useQuery(instancesQuery);
  const schedules = useQuery(schedulesQuery);
  const server = useQuery(serverQuery);
  const losses = useQuery(rowsQuery(LOSSES, 30_000));
  const jobs = useJobs();
  const all = [nodes, services, instances, schedules, server, losses, jobs];
  const failed = all.find(({ error, data }) => error && !(data && error instanceof ApiError && error.passing))?.error;
  const found = problems({
    nodes: nodes.data,
    services: services.data,
    instances: instances.data,
    schedules: schedules.data,
    server: server.data,
    failedJobs: jobs.data?.filter((job) => FAILED.includes(job.state)),
    losses: losses.data?.rows.map(([table, reason, rows]) => ({
      table: String(table),
      reason: String(reason),
      rows: Number(rows),
    })),
  });
  return (
    <Page title="Overview">
      {failed && <Failure error={failed} />}
      {nodes.data?.length === 0 && (
        <Card>
          <NoNodes />
        </Card>
      )}
      {nodes.data?.length !== 0 && <Problems found={found} loading={all.some((query) => query.isPending)} />}
      <Row gutter={[16, 16]}>
        <Glance title="Nodes" to="/nodes" loading={nodes.isPending}>
          <NodesGlance nodes={nodes.data ?? []} />
        </Glance>
        <Glance title="Services" to="/services" loading={services.isPending}>
          <Statistic value={services.data?.length ?? 0} />
          <div>
            <States states={sum(services.data?.map((each) => each.states ?? {}))} />
          </div>
        </Glance>
        <Glance title="Modules" to="/modules" loading={instances.isPending}>
          <Statistic value={new Set(instances.data?.map((each) => each.module_id)).size} suffix="deployed" />
          <div>
            <States states={tally(instances.data?.map((each) => each.status.state))} />
          </div>
        </Glance>
        <Glance title="Jobs of the last hour" to="/jobs" search={{ range: '1h' }} loading={jobs.isPending}>
          <Statistic value={jobs.data?.length ?? 0} />
          <div>
            <States states={tally(jobs.data?.map((each) => each.state))} running />
          </div>
        </Glance>
      </Row>
      <Row gutter={[16, 16]}>
        <Col xs={24} xl={12}>
          <LatestCommands />
        </Col>
        <Col xs={24} xl={12}>
          <LatestErrors />
        </Col>
      </Row>
    </Page>
  );
}

function Problems({ found, loading }: { found: Problem[]; loading: boolean }) {
  const { token } = theme.useToken();
  const icon = (problem: Problem) =>
    problem.severity === 'error' ? (
      <CloseCircleFilled style={{ color: token.colorError }} aria-label="error" />
    ) : (
      <WarningFilled style={{ color: token.colorWarning }} aria-label="warning" />
    );
  return (
    <Card
      title="What needs attention"
      size="small"
      loading={loading && !found.length}
      styles={{ body: { padding: 0 } }}
    >
      {found.length === 0 && (
        <Flex gap={10} style={{ padding: 16 }}>
          <CheckCircleFilled style={{ color: token.colorSuccess }} />
          All is well: every node is online, nothing fails, and no row was lost in the last hour.
        </Flex>
      )}
      <ul style={{ listStyle: 'none', margin: 0, padding: 0 }}>
        {found.map((problem) => (
          <li key={problem.what} style={{ borderBottom: `1px solid ${token.colorBorderSecondary}` }}>
            <Link
              to={problem.to as '/'}
              search={problem.search as never}
              style={{ display: 'flex', gap: 12, padding: '10px 16px', color: token.colorText, alignItems: 'baseline' }}
            >
              {icon(problem)}
              <span style={{ flex: 1 }}>
                <strong>{problem.what}</strong> <Typography.Text type="secondary">{problem.why}</Typography.Text>
              </span>
              <RightOutlined style={{ color: token.colorTextTertiary }} />
            </Link>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Glance({
  title,
  to,
  search,
  loading,
  children,
}: {
  title: string;
  to: string;
  search?: Record<string, string>;
  loading: boolean;
  children: ReactNode;
}) {
  return (
    <Col xs={24} sm={12} xl={6}>
      <Card
        title={
          <Link to={to as '/'} search={search as never}>
            {title}
          </Link>
        }
        size="small"
        loading={loading}
        style={{ height: '100%' }}
      >
        <Flex vertical gap={12}>
          {children}
        </Flex>
      </Card>
    </Col>
  );
}

function NodesGlance({ nodes }: { nodes: { state: string; facts?: { cpus?: number; memory_bytes?: number } }[] }) {
  const online = nodes.filter((node) => node.state === 'ONLINE').length;
  const cpus = nodes.reduce((total, node) => total + (node.facts?.cpus ?? 0), 0);
  const memory = nodes.reduce((total, node) => total + (node.facts?.memory_bytes ?? 0), 0);
  return (
    <>
      <Statistic value={online} suffix={`of ${count(nodes.length)} online`} />
      <Progress
        percent={nodes.length ? (100 * online) / nodes.length : 0}
        showInfo={false}
        status={online === nodes.length ? 'success' : 'exception'}
        aria-label="nodes online"
      />
      <Typography.Text type="secondary">
        {count(cpus)} CPUs, {bytes(memory)} of memory
      </Typography.Text>
    </>
  );
}

function tally(states: string[] | undefined): Record<string, number> {
  const found: Record<string, number> = {};
  for (const state of states ?? []) found[state] = (found[state] ?? 0) + 1;
  return found;
}

function sum(all: Partial<Record<string, number>>[] | undefined): Record<string, number> {
  const found: Record<string, number> = {};
  for (const states of all ?? [])
    for (const [state, number] of Object.entries(states)) found[state] = (found[state] ?? 0) + (number ?? 0);
  return found;
}
