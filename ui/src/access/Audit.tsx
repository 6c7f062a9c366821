/** The audit log: the changes that were asked for through the API. */
import { useQuery } from '@tanstack/react-query';
import { Flex, Input, Segmented, type TableColumnsType, Tag } from 'antd';
import { api, type Shapes, take } from '../kit/api';
import { Ago } from '../kit/bits';
import { Loaded, Nothing } from '../kit/Page';
import { RangeChoice } from '../kit/RangeChoice';
import { Rows } from '../kit/Rows';
import { RANGES, rangeOf } from '../kit/ranges';
import { useAddress } from '../kit/search';

type Entry = Shapes['AuditEntry'];

const MOST = 1000;
const COLUMNS: TableColumnsType<Entry> = [
  { title: 'When', width: 120, render: (_, entry) => <Ago time={entry.time} /> },
  { title: 'Who', width: 160, render: (_, entry) => `${entry.actor} (${entry.role})` },
  { title: 'What', dataIndex: 'action', width: 170 },
  { title: 'Of', dataIndex: 'target', width: 240, ellipsis: true },
  {
    title: 'Result',
    width: 130,
    render: (_, entry) => <Tag color={entry.result === 'ok' ? 'success' : 'error'}>{entry.result}</Tag>,
  },
  { title: 'Detail', dataIndex: 'detail', width: 300, ellipsis: true },
];

export function Audit() {
  const [view, change] = useAddress<'q' | 'state' | 'range'>();
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
  const wanted = (view.q ?? '').toLowerCase();
  const matches = (entry: Entry) =>
    (view.state !== 'failed' || entry.result !== 'ok') &&
    `${entry.actor} ${entry.action} ${entry.target} ${entry.detail ?? ''}`.toLowerCase().includes(wanted);
  return (
    <Flex vertical gap={12}>
      <Flex gap={8} wrap>
        <Input
          allowClear
          style={{ width: 260 }}
          placeholder="Who, what, of what"
          aria-label="Text to find"
          value={view.q ?? ''}
          onChange={(event) => change({ q: event.target.value })}
        />
        <Segmented
          value={view.state ?? ''}
          onChange={(state) => change({ state })}
          options={[
            { value: '', label: 'All' },
            { value: 'failed', label: 'Refused or failed' },
          ]}
        />
        <RangeChoice value={range} onChange={(chosen) => change({ range: chosen })} />
      </Flex>
      <Loaded query={query}>
        {(entries) => (
          <Rows
            rowKey="id"
            columns={COLUMNS}
            width={1100}
            dataSource={entries.filter(matches)}
            empty={
              <Nothing why="Nothing was changed, or nothing matches.">Look further back, or remove the filter.</Nothing>
            }
          />
        )}
      </Loaded>
    </Flex>
  );
}
