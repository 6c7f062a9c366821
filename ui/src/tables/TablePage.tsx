/** A table as a dashboard: what it counts over time, histograms, flame graphs, top lists, and its newest rows live. */
import { CodeOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { Button, Card, Col, Flex, Row, Select, Skeleton, Typography } from 'antd';
import { type ReactNode, useMemo } from 'react';
import type { Shapes } from '../kit/api';
import { Ago } from '../kit/bits';
import { count, short } from '../kit/format';
import { Failure, Loaded, Nothing, Page } from '../kit/Page';
import { modulesQuery, nodesQuery, rowsQuery, tablesQuery } from '../kit/queries';
import { RangeChoice } from '../kit/RangeChoice';
import { RANGES, rangeOf, stepOf } from '../kit/ranges';
import { SqlChart } from '../kit/SqlChart';
import { useAddress } from '../kit/search';
import { timeOf } from '../kit/series';
import { FlameGraph } from './FlameGraph';
import { HeatMap } from './HeatMap';
import { NewestRows } from './NewestRows';
import { histogramSql, measureSql, planOf, rowsSql, stacksSql, topSql, unitOf, type Window } from './plan';

const EVERY_MS = 15_000;
/** Of a chart, in pixels. */
const HEIGHT = 150;

export function TablePage() {
  const { table } = useParams({ from: '/tables/$table' });
  const tables = useQuery(tablesQuery);
  const info = tables.data?.find((each) => each.table.name === table);
  return (
    <Page
      title={table}
      aside={info && <Typography.Text type="secondary">{info.table.description}</Typography.Text>}
      actions={
        info && (
          <Link to="/query" search={{ sql: `SELECT * FROM ${table} ORDER BY time DESC LIMIT 100` }}>
            <Button icon={<CodeOutlined />}>Query</Button>
          </Link>
        )
      }
    >
      <Loaded query={tables}>{() => (info ? <Dashboard info={info} /> : <NoTable table={table} />)}</Loaded>
    </Page>
  );
}

/** Tables of a module exist from its first deployment. */
function NoTable({ table }: { table: string }) {
  const module = useQuery(modulesQuery).data?.find((each) =>
    each.build.manifest.table?.some(({ name }) => name === table),
  );
  return module ? (
    <Nothing why="Nothing has been collected yet.">
      Deploy the module{' '}
      <Link to="/modules/$module" params={{ module: module.name }}>
        {module.name}
      </Link>
      : it fills this table.
    </Nothing>
  ) : (
    <Nothing why={`There is no table ${table}.`}>
      <Link to="/tables">All tables</Link>
    </Nothing>
  );
}

function Dashboard({ info }: { info: Shapes['TableInfo'] }) {
  const { table } = info;
  const [view, change] = useAddress<'range' | 'node'>();
  const range = rangeOf(view.range);
  const nodes = useQuery(nodesQuery).data ?? [];
  const node = nodes.find((each) => each.name === view.node);
  const window: Window = { seconds: RANGES[range], step: stepOf(range), node: node ? `${node.gid}/${node.nid}` : '' };
  const plan = useMemo(() => planOf(table), [table]);
  return (
    <>
      <Flex gap={8} wrap align="center">
        <RangeChoice value={range} onChange={(chosen) => change({ range: chosen })} />
        <Select
          allowClear
          showSearch
          aria-label="Node"
          placeholder="Every node"
          style={{ width: 200 }}
          value={view.node}
          onChange={(name) => change({ node: name ?? '' })}
          options={nodes.map((each) => ({ value: each.name }))}
        />
        <Typography.Text type="secondary">
          {count(info.rows)} rows, the newest <Ago time={info.newest} />
        </Typography.Text>
      </Flex>
      <Row gutter={[16, 16]}>
        <Panel title="Rows per second" span={plan.measures.length % 2 ? 12 : 24}>
          <SqlChart sql={rowsSql(table.name, window)} label="Rows per second" height={HEIGHT} />
        </Panel>
        {plan.measures.map((measure) => (
          <Panel key={measure.columns.join()} title={measure.title} span={12}>
            <SqlChart
              sql={measureSql(table.name, measure, window)}
              label={measure.title}
              unit={unitOf(measure)}
              height={HEIGHT}
            />
          </Panel>
        ))}
        {plan.histograms.map(({ column, bounds, unit }) => (
          <Panel key={column} title={`${column} over time`}>
            <Histogram
              sql={histogramSql(table.name, column, window)}
              bounds={bounds}
              unit={unit}
              label={`Histogram ${column} over time`}
            />
          </Panel>
        ))}
        {plan.stacks.map((stack) => (
          <Panel key={stack} title={`${stack}: ${plan.weight || 'rows'}`}>
            <Stacks
              sql={stacksSql(table.name, stack, plan.weight, window)}
              unit={plan.weight || 'rows'}
              label={`Flame graph of ${stack}`}
            />
          </Panel>
        ))}
        {plan.tops.map((column) => (
          <Panel
            key={column}
            title={`Top ${column} by ${plan.weight || 'rows'}`}
            span={24 / Math.min(3, plan.tops.length)}
          >
            <Top sql={topSql(table.name, column, plan.weight, window)} />
          </Panel>
        ))}
        <Panel title="Newest rows">
          <NewestRows table={table} node={window.node} />
        </Panel>
      </Row>
    </>
  );
}

function Panel({ title, span = 24, children }: { title: string; span?: number; children: ReactNode }) {
  return (
    <Col xs={24} lg={span}>
      <Card size="small" title={title} style={{ height: '100%' }}>
        {children}
      </Card>
    </Col>
  );
}

/** The rows of a statement, or why there are none. */
function Answered({ sql, children }: { sql: string; children: (rows: unknown[][]) => ReactNode }) {
  const query = useQuery(rowsQuery(sql, EVERY_MS));
  if (query.error && !query.data) return <Failure error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Skeleton active />;
  if (!query.data.rows.length) return <Nothing why="No row is of this time.">Look further back.</Nothing>;
  return children(query.data.rows);
}

function Histogram({ sql, ...rest }: { sql: string; bounds: string; unit: string; label: string }) {
  return (
    <Answered sql={sql}>
      {(rows) => (
        <HeatMap
          times={rows.map((row) => timeOf(row[0]))}
          slots={rows.map((row) => (row[1] as (number | string)[]).map(Number))}
          {...rest}
        />
      )}
    </Answered>
  );
}

function Stacks({ sql, ...rest }: { sql: string; unit: string; label: string }) {
  return <Answered sql={sql}>{(rows) => <Flames rows={rows} {...rest} />}</Answered>;
}

function Flames({ rows, ...rest }: { rows: unknown[][]; unit: string; label: string }) {
  const stacks = useMemo(
    () => rows.map(([frames, weight]): [string[], number] => [frames as string[], Number(weight)]),
    [rows],
  );
  return <FlameGraph stacks={stacks} {...rest} />;
}

function Top({ sql }: { sql: string }) {
  return (
    <Answered sql={sql}>
      {(rows) => {
        const most = Math.max(1, ...rows.map((row) => Number(row[1])));
        return rows.map(([value, weight]) => (
          <div
            key={String(value)}
            style={{
              position: 'relative',
              padding: '3px 6px',
              display: 'flex',
              justifyContent: 'space-between',
              gap: 8,
            }}
          >
            <div
              style={{
                position: 'absolute',
                inset: '2px auto 2px 0',
                width: `${(100 * Number(weight)) / most}%`,
                background: 'rgba(22, 119, 255, 0.16)',
                borderRadius: 3,
              }}
            />
            <Typography.Text className="mono" ellipsis={{ tooltip: String(value) }} style={{ position: 'relative' }}>
              {String(value) || '(empty)'}
            </Typography.Text>
            <span style={{ position: 'relative' }}>{short(Number(weight))}</span>
          </div>
        ));
      }}
    </Answered>
  );
}
