/** The list of jobs: each run of a command on one node. */
import { PlayCircleOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Button, Select, type TableColumnsType, Typography } from 'antd';
import { api, take } from '../kit/api';
import { Ago, State } from '../kit/bits';
import { duration } from '../kit/format';
import { ListPage } from '../kit/ListPage';
import { Nothing } from '../kit/Page';
import { commandsQuery } from '../kit/queries';
import { RangeChoice } from '../kit/RangeChoice';
import { RANGES, rangeOf } from '../kit/ranges';
import { SelectorInput } from '../kit/SelectorInput';
import { useAddress } from '../kit/search';
import { selectorQuery } from '../kit/selector';
import { JOB_CHOICES, type JobRow, jobRows } from './command';

const MOST = 2000;

/** The columns of a list of jobs; `node` is left out where all are of one node. */
export function jobColumns({ node = true } = {}): TableColumnsType<JobRow> {
  const columns: TableColumnsType<JobRow> = [
    { title: 'State', width: 110, render: (_, job) => <State state={job.state} running /> },
    {
      title: 'Command',
      width: 360,
      ellipsis: true,
      render: (_, job) => (
        <Link to="/jobs/$command" params={{ command: job.id }} search={{ node: job.node_name }} className="mono">
          {job.line}
        </Link>
      ),
    },
    {
      title: 'Node',
      key: 'node',
      width: 150,
      render: (_, job) => (
        <Link to="/nodes/$node" params={{ node: job.node_name }}>
          {job.node_name}
        </Link>
      ),
    },
    { title: 'Why', width: 220, ellipsis: true, render: (_, job) => job.reason },
    { title: 'By', width: 110, ellipsis: true, render: (_, job) => job.actor },
    { title: 'Asked', width: 110, render: (_, job) => <Ago time={job.create_time} /> },
    {
      title: 'Took',
      width: 90,
      align: 'right',
      render: (_, job) => (job.result?.starttime ? duration((job.result.time ?? 0) / 1000) : ''),
    },
  ];
  return node ? columns : columns.filter((column) => column.key !== 'node');
}

export function Jobs() {
  const [view, change] = useAddress<'who' | 'nodes' | 'range'>();
  const range = rangeOf(view.range ?? '1d');
  const commands = useQuery(commandsQuery).data ?? [];
  const jobs = useQuery({
    queryKey: ['jobs', view.nodes ?? '', range],
    queryFn: ({ signal }) => {
      const since = Date.now() / 1000 - RANGES[range];
      return take(
        api.GET('/api/v1/jobs', {
          signal,
          params: { query: { ...selectorQuery(view.nodes ?? ''), since, limit: MOST } },
        }),
      );
    },
    select: (found) => jobRows(found, commands),
    refetchInterval: 3000,
    placeholderData: (previous) => previous,
  });
  const navigate = useNavigate();
  const people = [...new Set(commands.map((command) => command.actor ?? ''))].filter(Boolean);
  const by = jobs.data?.filter((job) => !view.who || job.actor === view.who);
  return (
    <ListPage<JobRow>
      title="Jobs"
      noun="job"
      actions={
        <Link to="/run">
          <Button type="primary" icon={<PlayCircleOutlined />}>
            Run
          </Button>
        </Link>
      }
      query={{ data: by, error: jobs.error, refetch: jobs.refetch }}
      find={{
        text: (job) => `${job.line} ${job.id} ${job.node_name} ${job.reason ?? ''}`,
        hint: 'Command, reason, id',
      }}
      choices={JOB_CHOICES}
      more={{
        keys: ['nodes', 'who'],
        inputs: (
          <>
            <div style={{ width: 260 }}>
              <SelectorInput value={view.nodes ?? ''} onChange={(nodes) => change({ nodes })} />
            </div>
            <Select
              allowClear
              aria-label="By"
              placeholder="By anybody"
              style={{ width: 150 }}
              value={view.who}
              onChange={(who) => change({ who: who ?? '' })}
              options={people.map((value) => ({ value }))}
            />
            <RangeChoice value={range} onChange={(chosen) => change({ range: chosen })} />
          </>
        ),
      }}
      note={
        jobs.data?.length === MOST && <Typography.Text type="warning">Only the newest {MOST} are read.</Typography.Text>
      }
      rowKey={(job) => `${job.id} ${job.gid}/${job.nid}`}
      columns={jobColumns()}
      width={1150}
      open={(job) =>
        void navigate({ to: '/jobs/$command', params: { command: job.id }, search: { node: job.node_name } })
      }
      empty={
        <Nothing why="No command was run in this time.">
          <Link to="/run">Run one</Link>, or look further back.
        </Nothing>
      }
    />
  );
}
