/** The audit log: the changes that were asked for through the API. */
import { useQuery } from '@tanstack/react-query';
import { type TableColumnsType, Tag } from 'antd';
import { api, type Shapes, take } from '../kit/api';
import { Ago } from '../kit/bits';
import { List } from '../kit/ListPage';
import { Nothing } from '../kit/Page';
import { RangeChoice } from '../kit/RangeChoice';
import { RANGES, rangeOf } from '../kit/ranges';
import { useAddress } from '../kit/search';

type Entry = Shapes['AuditEntry'];

const MOST = 1000;
const COLUMNS: TableColumnsType<Entry> = [
  { title: 'When', width: 120, render: (_, entry) => <Ago time={entry.time} /> },
  { title: 'Who', width: 160, render: (_, entry) => `${entry.actor} (${entry.role})` },
  { title: 'Action', dataIndex: 'action', width: 170 },
  { title: 'On what', dataIndex: 'target', width: 240, ellipsis: true },
  {
    title: 'Result',
    width: 130,
    render: (_, entry) => <Tag color={entry.result === 'ok' ? 'success' : 'error'}>{entry.result}</Tag>,
  },
  { title: 'Detail', dataIndex: 'detail', width: 300, ellipsis: true },
];

export function Audit() {
  const [view, change] = useAddress<'range'>();
  const range = rangeOf(view.range ?? '1d');
  const query = useQuery({
    queryKey: ['audit', range],
    queryFn: ({ signal }) =>
      take(
        api.GET('/api/v1/audit', {
          signal,
          params: { query: { since: Date.now() / 1000 - RANGES[range], limit: MOST } },
        }),
      ),
    refetchInterval: 10_000,
  });
  return (
    <List<Entry>
      noun="entry"
      query={query}
      find={{
        text: ({ actor, action, target, detail = '' }) => `${actor} ${action} ${target} ${detail}`,
        hint: 'Who, action, on what',
      }}
      choices={[
        {
          value: 'failed',
          label: 'Refused or failed',
          matches: ({ result }) => result !== 'ok',
          none: 'No change was refused or failed in this time.',
        },
      ]}
      more={{ keys: [], inputs: <RangeChoice value={range} onChange={(chosen) => change({ range: chosen })} /> }}
      rowKey="id"
      columns={COLUMNS}
      width={1100}
      empty={<Nothing why="Nothing was changed in this time.">Look further back.</Nothing>}
    />
  );
}
