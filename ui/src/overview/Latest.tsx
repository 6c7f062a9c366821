/** What happened last: commands, and errors that programs printed. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Card, Flex, Typography } from 'antd';
import { lineOf } from '../jobs/command';
import { api, take } from '../kit/api';
import { Ago, States } from '../kit/bits';
import { shown } from '../kit/levels';
import { Loaded, Nothing } from '../kit/Page';
import { commandsQuery } from '../kit/queries';

const SHOWN = 8;
const DAY_MS = 86_400_000;

export function LatestCommands() {
  const query = useQuery(commandsQuery);
  return (
    <Card size="small" title={<Link to="/jobs">Latest commands</Link>} style={{ height: '100%' }}>
      <Loaded query={query}>
        {(commands) =>
          commands.length === 0 ? (
            <Nothing why="No command was run.">
              <Link to="/run">Run one</Link>.
            </Nothing>
          ) : (
            commands.slice(0, SHOWN).map((command) => (
              <Flex key={command.id} gap={8} justify="space-between" style={{ padding: '3px 0' }}>
                <Link
                  to="/jobs/$command"
                  params={{ command: command.id }}
                  className="mono"
                  style={{ flex: 1, overflow: 'hidden', textOverflow: 'ellipsis', whiteSpace: 'nowrap' }}
                >
                  {lineOf(command)}
                </Link>
                <span>
                  <States states={command.states} running />
                </span>
                <Typography.Text type="secondary">
                  <Ago time={command.create_time} />
                </Typography.Text>
              </Flex>
            ))
          )
        }
      </Loaded>
    </Card>
  );
}

export function LatestErrors() {
  const query = useQuery({
    queryKey: ['messages', 'latest errors'],
    queryFn: ({ signal }) => {
      const since = Date.now() - DAY_MS;
      return take(
        api.GET('/api/v1/messages', { signal, params: { query: { level: '8,9', newest: true, limit: SHOWN, since } } }),
      );
    },
    refetchInterval: 15_000,
  });
  const all = (
    <Link to="/logs" search={{ level: '8,9', range: '1d' }}>
      Latest errors in the logs
    </Link>
  );
  return (
    <Card size="small" title={all} style={{ height: '100%' }}>
      <Loaded query={query}>
        {({ messages, problems = [] }) =>
          messages.length === 0 ? (
            <Nothing why="No program printed an error in the last day.">{problems.join(' ')}</Nothing>
          ) : (
            messages.map((message) => (
              <Flex
                key={`${message.gid}/${message.nid} ${message.epoch} ${message.id}`}
                gap={8}
                style={{ padding: '3px 0' }}
              >
                <Link
                  to="/logs"
                  search={{ nodes: message.node, level: '8,9', ...(message.name ? { name: message.name } : {}) }}
                >
                  {message.node}
                </Link>
                <Typography.Text className="mono" type="danger" ellipsis style={{ flex: 1 }}>
                  {shown(message.data)}
                </Typography.Text>
                <Typography.Text type="secondary">
                  <Ago time={message.epoch / 1000} />
                </Typography.Text>
              </Flex>
            ))
          )
        }
      </Loaded>
    </Card>
  );
}
