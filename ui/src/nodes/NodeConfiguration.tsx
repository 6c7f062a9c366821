/** The configuration with which a node's agent runs: what it answered last, and the button that reads it. */
import { SyncOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Button, Card, type TableColumnsType } from 'antd';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Ago } from '../kit/bits';
import { useRole } from '../kit/login';
import { Loaded, Nothing } from '../kit/Page';
import { Rows } from '../kit/Rows';
import { lastRead, type Setting, settingsOf } from './configuration';

const COLUMNS: TableColumnsType<Setting> = [
  { title: 'Key', dataIndex: 'key', width: 280, className: 'mono' },
  { title: 'Value', dataIndex: 'value', className: 'mono' },
];
const WAIT_S = 20;

export function NodeConfiguration({ node }: { node: Shapes['Node'] }) {
  const operator = useRole('operator');
  const [act, busy] = useAction();
  const key = `${node.gid}/${node.nid}`;
  const jobs = useQuery({
    queryKey: ['jobs', 'configuration of', key],
    queryFn: ({ signal }) => take(api.GET('/api/v1/jobs', { signal, params: { query: { node: [key], limit: 1000 } } })),
  });
  const read = () =>
    act(() =>
      take(
        api.POST('/api/v1/commands', {
          params: { query: { wait_s: WAIT_S } },
          body: { cmd: 'get_config', selector: { nodes: [key] } },
        }),
      ),
    );
  const button = operator && (
    <Button icon={<SyncOutlined />} loading={busy} onClick={() => void read()}>
      Read it now
    </Button>
  );
  return (
    <Loaded query={jobs}>
      {(found) => {
        const last = lastRead(found);
        if (!last)
          return (
            <Nothing why="The configuration of this node was not read yet.">
              {button || 'An operator can read it.'}
            </Nothing>
          );
        return (
          <Card
            size="small"
            title={
              <>
                Read <Ago time={(last.result?.starttime ?? 0) / 1000} />
              </>
            }
            extra={button}
          >
            <Rows<Setting>
              rowKey="key"
              columns={COLUMNS}
              dataSource={settingsOf(JSON.parse(last.result?.data ?? '{}'))}
              empty={<Nothing why="It is empty." />}
            />
          </Card>
        );
      }}
    </Loaded>
  );
}
