/** The server itself: versions, addresses, stores, health. */
import { useQuery } from '@tanstack/react-query';
import { Alert, Card, Descriptions } from 'antd';
import { Ago, Line } from '../kit/bits';
import { Loaded, Page } from '../kit/Page';
import { serverQuery } from '../kit/queries';

export function About() {
  const query = useQuery(serverQuery);
  return (
    <Page title="About">
      <Loaded query={query}>
        {(server) => (
          <>
            {server.problems?.map((problem) => (
              <Alert key={problem} type="error" showIcon title={problem} />
            ))}
            {!server.problems?.length && (
              <Alert type="success" showIcon title="The server is well: no fault needs an operator." />
            )}
            <Card size="small" title="This server">
              <Descriptions
                column={1}
                size="small"
                items={[
                  { key: 'version', label: 'Version', children: server.version },
                  { key: 'protocol', label: 'Link protocol', children: server.protocol },
                  { key: 'http', label: 'API', children: <Line text={`http://${server.http}`} /> },
                  { key: 'link', label: 'Link of agents', children: <Line text={server.link} /> },
                  {
                    key: 'https',
                    label: 'Link by HTTPS',
                    children: server.link_https ? <Line text={server.link_https} /> : 'none',
                  },
                  { key: 'state', label: 'State store', children: server.state_store },
                  { key: 'telemetry', label: 'Telemetry store', children: server.telemetry_store },
                  { key: 'nodes', label: 'Nodes', children: `${server.nodes_online} of ${server.nodes} online` },
                  { key: 'started', label: 'Started', children: <Ago time={server.started_at} /> },
                  { key: 'docs', label: 'API documentation', children: <a href="/schema">/schema</a> },
                ]}
              />
            </Card>
          </>
        )}
      </Loaded>
    </Page>
  );
}
