/** The list of schedules. */
import { DeleteOutlined, EditOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { App, Button, Flex, Switch, type TableColumnsType, Typography } from 'antd';
import { isFailed, lineOf } from '../jobs/command';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Ago, States } from '../kit/bits';
import { duration } from '../kit/format';
import { ListPage } from '../kit/ListPage';
import { useRole } from '../kit/login';
import { Nothing } from '../kit/Page';
import { schedulesQuery } from '../kit/queries';
import { writeSelector } from '../kit/selector';

type Schedule = Shapes['Schedule'];

export function whenOf(schedule: Schedule): string {
  return schedule.cron
    ? `${schedule.cron} (${schedule.timezone ?? 'UTC'})`
    : `every ${duration(schedule.period_s ?? 0)}`;
}

export function Schedules() {
  const query = useQuery(schedulesQuery);
  const may = useRole('operator');
  return (
    <ListPage<Schedule>
      title="Schedules"
      noun="schedule"
      actions={
        may && (
          <Link to="/run">
            <Button type="primary">New schedule</Button>
          </Link>
        )
      }
      query={query}
      find={{
        text: ({ name, command, actor = '' }) => `${name} ${lineOf(command)} ${actor}`,
        hint: 'Name, command, person',
      }}
      choices={[
        {
          value: 'failed',
          label: 'With failures',
          matches: ({ states = {}, reason }) => Object.keys(states).some(isFailed) || !!reason,
          none: 'No schedule has failures.',
        },
        {
          value: 'off',
          label: 'Disabled',
          matches: ({ enabled }) => enabled === false,
          none: 'No schedule is disabled.',
        },
      ]}
      rowKey="name"
      columns={columns(may)}
      width={1100}
      empty={
        <Nothing why="Nothing is scheduled.">
          Compose a command at <Link to="/run">Run</Link> and save it as a schedule.
        </Nothing>
      }
    />
  );
}

function columns(may: boolean): TableColumnsType<Schedule> {
  return [
    { title: 'Schedule', dataIndex: 'name', width: 150 },
    { title: 'Enabled', width: 90, render: (_, schedule) => <Enabled schedule={schedule} may={may} /> },
    {
      title: 'Command',
      width: 300,
      ellipsis: true,
      render: (_, schedule) => (
        <>
          <span className="mono">{lineOf(schedule.command)}</span>
          <br />
          <Typography.Text type="secondary">
            on {writeSelector(schedule.command.selector) || 'every node'}
          </Typography.Text>
        </>
      ),
    },
    { title: 'When', width: 220, render: (_, schedule) => <span className="mono">{whenOf(schedule)}</span> },
    { title: 'Next', width: 110, render: (_, schedule) => <Ago time={schedule.next_time} /> },
    {
      title: 'Last',
      width: 120,
      render: (_, schedule) =>
        schedule.last_command ? (
          <Link to="/jobs/$command" params={{ command: schedule.last_command }}>
            <Ago time={schedule.last_time} />
          </Link>
        ) : (
          <Ago time={schedule.last_time} />
        ),
    },
    {
      title: 'Jobs so far',
      width: 200,
      render: (_, schedule) => (
        <>
          <States states={schedule.states} running />
          {schedule.reason && <Typography.Text type="warning">{schedule.reason}</Typography.Text>}
          {!!schedule.missed_runs && <Typography.Text type="warning"> {schedule.missed_runs} missed</Typography.Text>}
        </>
      ),
    },
    {
      title: '',
      width: 96,
      render: (_, schedule) =>
        may && (
          <Flex>
            <Link to="/run" search={{ schedule: schedule.name }}>
              <Button type="text" icon={<EditOutlined />} aria-label={`Edit ${schedule.name}`} />
            </Link>
            <Remove schedule={schedule} />
          </Flex>
        ),
    },
  ];
}

function Enabled({ schedule, may }: { schedule: Schedule; may: boolean }) {
  const [act, busy] = useAction();
  const params = { path: { schedule: schedule.name } };
  return (
    <Switch
      size="small"
      aria-label={`${schedule.name} is enabled`}
      disabled={!may}
      loading={busy}
      checked={schedule.enabled !== false}
      onChange={(enabled) =>
        void act(() => take(api.PATCH('/api/v1/schedules/{schedule}', { params, body: { enabled } })))
      }
    />
  );
}

function Remove({ schedule }: { schedule: Schedule }) {
  const [act, busy] = useAction();
  const { modal } = App.useApp();
  const remove = () =>
    modal.confirm({
      title: `Delete the schedule ${schedule.name}?`,
      content: 'Commands that it has issued continue.',
      okText: 'Delete',
      okButtonProps: { danger: true },
      onOk: () =>
        act(
          () => take(api.DELETE('/api/v1/schedules/{schedule}', { params: { path: { schedule: schedule.name } } })),
          'It is deleted.',
        ),
    });
  return (
    <Button
      type="text"
      danger
      icon={<DeleteOutlined />}
      loading={busy}
      aria-label={`Delete ${schedule.name}`}
      onClick={remove}
    />
  );
}
