/** The newest rows of a table, and those that are stored while one looks. */
import { useQuery } from '@tanstack/react-query';
import { Flex, type TableColumnsType } from 'antd';
import { useMemo, useState } from 'react';
import type { Shapes } from '../kit/api';
import { LiveState } from '../kit/LiveState';
import { useLive } from '../kit/live';
import { Failure, Nothing } from '../kit/Page';
import { nodesQuery, rowsQuery } from '../kit/queries';
import { Rows } from '../kit/Rows';
import { name } from '../kit/sql';
import { Answer } from '../query/answer';
import { cell } from '../query/cell';

const KEPT = 200;

interface Row {
  key: number;
  values: unknown[];
}

interface Tail {
  columns: { name: string; type: string }[];
  rows: unknown[][];
}

let counter = 0;
const keyed = (values: unknown[]): Row => ({ key: counter++, values });

export function NewestRows({ table, node }: { table: Shapes['Table']; node: string }) {
  const [gid, nid] = node.split('/');
  const where = node ? `gid = ${Number(gid)} AND nid = ${Number(nid)}` : '';
  const first = useQuery({
    ...rowsQuery(`SELECT * FROM ${name(table.name)}${where && ` WHERE ${where}`} ORDER BY time DESC LIMIT ${KEPT}`),
    placeholderData: undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const [live, setLive] = useState<{ of: string; columns: Tail['columns']; rows: Row[] }>({
    of: '',
    columns: [],
    rows: [],
  });
  const of = `${table.name} ${where}`;
  const url = `/api/v1/tables/${encodeURIComponent(table.name)}/tail?${new URLSearchParams(where ? { where } : {})}`;
  const state = useLive(
    url,
    (events) => {
      const tails = events.map((event) => JSON.parse(event.data) as Tail);
      const rows = tails
        .flatMap((tail) => tail.rows.slice(-KEPT))
        .slice(-KEPT)
        .reverse()
        .map(keyed);
      setLive((old) => ({
        of,
        columns: tails[0]?.columns ?? old.columns,
        rows: [...rows, ...(old.of === of ? old.rows : [])].slice(0, KEPT),
      }));
    },
    'cursor',
  );
  const stored = useMemo(() => first.data?.rows.map(keyed) ?? [], [first.data]);
  const columns = first.data?.columns ?? live.columns;
  const places = new Map(live.columns.map((column, index) => [column.name, index]));
  const fresh =
    live.of === of
      ? live.rows.map((row) => ({ ...row, values: columns.map((column) => row.values[places.get(column.name) ?? -1]) }))
      : [];
  const shown = [...fresh, ...stored].slice(0, KEPT);
  const named = new Map(useQuery(nodesQuery).data?.map(({ gid, nid, name }) => [`${gid}/${nid}`, name]));
  const at = (column: string) => columns.findIndex((each) => each.name === column);
  const [gidAt, nidAt] = [at('gid'), at('nid')];
  const nodeOf = ({ values }: Row) => `${values[gidAt]}/${values[nidAt]}`;
  const drawn: TableColumnsType<Row> = Answer.columns(columns)
    .filter(({ index }) => index !== gidAt)
    .map(({ title, index, width }) => ({
      title: index === nidAt ? 'node' : title,
      width,
      ellipsis: true,
      render: (_, row) => (index === nidAt ? (named.get(nodeOf(row)) ?? nodeOf(row)) : cell(row.values[index])),
    }));
  return (
    <Flex vertical gap={8}>
      <LiveState live={state} />
      {first.error && <Failure error={first.error} />}
      {state.error && state.state === 'ended' && <Failure error={state.error} />}
      <Rows<Row>
        rowKey="key"
        columns={drawn}
        loading={first.isPending}
        width={Math.max(700, columns.length * 140)}
        dataSource={shown}
        empty={<Nothing why="The table has no row yet.">New rows appear here by themselves.</Nothing>}
      />
    </Flex>
  );
}
