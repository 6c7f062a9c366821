/** The list of nodes. */
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Flex, Input, Segmented, Select, type TableColumnsType, Typography } from 'antd';
import { useMemo } from 'react';
import type { Shapes } from '../kit/api';
import { Ago, Labels, State } from '../kit/bits';
import { bytes, count } from '../kit/format';
import { Loaded, Nothing, Page } from '../kit/Page';
import { nodesQuery } from '../kit/queries';
import { Rows } from '../kit/Rows';
import { useAddress } from '../kit/search';
import { filterNodes, labelsOf } from './filter';
import { NoNodes } from './NoNodes';

type Node = Shapes['Node'];

/** One for all names: a comparison that makes its own is a hundred times as slow. */
const byName = new Intl.Collator('en', { numeric: true });
const keyOf = (node: Node) => `${node.gid}/${node.nid}`;

const COLUMNS: TableColumnsType<Node> = [
  {
    title: 'Node',
    dataIndex: 'name',
    width: 190,
    render: (name: string) => (
      <Link to="/nodes/$node" params={{ node: name }}>
        {name}
      </Link>
    ),
    sorter: (a, b) => byName.compare(a.name, b.name),
    defaultSortOrder: 'ascend',
  },
  { title: 'State', width: 110, render: (_, node) => <State state={node.state} /> },
  { title: 'Labels', width: 260, render: (_, node) => <Labels labels={node.labels} /> },
  { title: 'System', width: 190, ellipsis: true, render: (_, node) => node.facts?.os },
  { title: 'Kernel', width: 150, ellipsis: true, render: (_, node) => node.facts?.kernel },
  {
    title: 'CPUs',
    width: 80,
    align: 'right',
    render: (_, node) => node.facts?.cpus,
    sorter: (a, b) => (a.facts?.cpus ?? 0) - (b.facts?.cpus ?? 0),
  },
  {
    title: 'Memory',
    width: 100,
    align: 'right',
    render: (_, node) => bytes(node.facts?.memory_bytes ?? 0),
    sorter: (a, b) => (a.facts?.memory_bytes ?? 0) - (b.facts?.memory_bytes ?? 0),
  },
  {
    title: 'Seen',
    width: 110,
    render: (_, node) => <Ago time={node.seen_at} />,
    sorter: (a, b) => (a.seen_at ?? 0) - (b.seen_at ?? 0),
  },
];

export function Nodes() {
  const query = useQuery(nodesQuery);
  return (
    <Page
      title="Nodes"
      aside={query.data && <Typography.Text type="secondary">{count(query.data.length)}</Typography.Text>}
    >
      <Loaded query={query}>{(nodes) => <NodeList nodes={nodes} />}</Loaded>
    </Page>
  );
}

function NodeList({ nodes }: { nodes: Node[] }) {
  const [filter, change] = useAddress<'q' | 'on' | 'state'>();
  const navigate = useNavigate();
  const { q, on, state } = filter;
  const sorted = useMemo(() => nodes.toSorted((a, b) => byName.compare(a.name, b.name)), [nodes]);
  const shown = useMemo(() => filterNodes(sorted, { q, on, state }), [sorted, q, on, state]);
  const labels = useMemo(() => labelsOf(nodes).map((label) => ({ value: label })), [nodes]);
  const inState = (wanted: string) => nodes.filter((node) => node.state === wanted).length;
  return (
    <>
      <Flex gap={8} wrap>
        <Input.Search
          allowClear
          style={{ width: 260 }}
          placeholder="Name, address, system …"
          aria-label="Text to find"
          value={filter.q ?? ''}
          onChange={(event) => change({ q: event.target.value })}
        />
        <Select
          mode="multiple"
          allowClear
          style={{ minWidth: 220 }}
          placeholder="Labels"
          aria-label="Labels"
          value={filter.on?.split(',') ?? []}
          options={labels}
          onChange={(chosen: string[]) => change({ on: chosen.join(',') })}
        />
        <Segmented
          value={filter.state ?? ''}
          onChange={(state) => change({ state })}
          options={[
            { value: '', label: `All ${count(nodes.length)}` },
            { value: 'ONLINE', label: `Online ${count(inState('ONLINE'))}` },
            { value: 'OFFLINE', label: `Offline ${count(inState('OFFLINE'))}` },
          ]}
        />
      </Flex>
      <Rows<Node>
        rowKey={keyOf}
        columns={COLUMNS}
        width={1190}
        dataSource={shown}
        open={(node) => void navigate({ to: '/nodes/$node', params: { node: node.name } })}
        empty={nodes.length ? <Nothing why="No node matches the filter.">Remove a part of it.</Nothing> : <NoNodes />}
      />
    </>
  );
}
