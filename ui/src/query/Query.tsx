/** The SQL page: an editor that knows the tables, the answer as a table or a chart, and how complete it is. */
import {
  CaretRightOutlined,
  DownloadOutlined,
  FolderOpenOutlined,
  HistoryOutlined,
  LinkOutlined,
  SaveOutlined,
} from '@ant-design/icons';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Alert, App, Button, Card, Dropdown, Flex, Segmented, type TableColumnType, Tag, Typography } from 'antd';
import { useMemo, useRef, useState } from 'react';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Chart } from '../kit/Chart';
import { Editor } from '../kit/Editor';
import { copy, save } from '../kit/files';
import { count, duration } from '../kit/format';
import { useRole } from '../kit/login';
import { Failure, Nothing, Page } from '../kit/Page';
import { tablesQuery } from '../kit/queries';
import { Rows } from '../kit/Rows';
import { useAddress } from '../kit/search';
import { seriesOf } from '../kit/series';
import { Answer } from './answer';
import { cell } from './cell';
import { language } from './language';
import { SavedQueries } from './SavedQueries';
import { SaveQuery } from './SaveQuery';
import { history, remember } from './store';
import { useOpened } from './useOpened';

const MOST_ROWS = 50_000;
const EXAMPLE =
  'SELECT name, level, count() AS messages FROM messages GROUP BY name, level ORDER BY messages DESC LIMIT 20';

export function Query() {
  const [view, change] = useAddress<'sql' | 'as' | 'saved'>();
  const [text, setText] = useState(view.sql ?? EXAMPLE);
  const [shown, setShown] = useState(view.sql);
  if (view.sql && view.sql !== shown) {
    setShown(view.sql); // another address was opened, as by Back
    setText(view.sql);
  }
  const answer = useQuery({
    queryKey: ['answer', view.sql],
    queryFn: async ({ signal }) => {
      const sql = view.sql ?? '';
      const found = (await take(
        api.POST('/api/v1/query', { signal, body: { sql, max_rows: MOST_ROWS } }),
      )) as Shapes['Answer'];
      remember(sql);
      return found;
    },
    enabled: !!view.sql,
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
    placeholderData: keepPreviousData,
  });
  const latest = useRef(text);
  latest.current = text;
  const run = () => {
    const sql = latest.current.trim().replace(/;$/, '');
    if (!sql) return;
    if (sql === view.sql) void answer.refetch();
    else {
      setShown(sql);
      change({ sql });
    }
  };
  const runner = useRef(run);
  runner.current = run;
  const tables = useQuery(tablesQuery).data;
  const names = tables?.map((each) => each.table.name).join(' ');
  // biome-ignore lint/correctness/useExhaustiveDependencies: sizes of tables change all the time, their names do not
  const extensions = useMemo(() => language(tables ?? [], () => runner.current()), [names]);
  const { message } = App.useApp();
  const may = useRole('operator');
  const [dialog, setDialog] = useState<'saved' | 'save'>();
  const close = () => setDialog(undefined);
  const show = (query: { name: string; sql: string; view?: string }) => {
    setText(query.sql);
    setShown(query.sql);
    change({ sql: query.sql, as: query.view === 'chart' ? 'chart' : '', saved: query.name });
  };
  const saved = useOpened(view, show, (name) => change({ saved: name }));
  return (
    <Page
      title="Query"
      aside={
        view.saved && (
          <Tag closable onClose={() => change({ saved: '' })}>
            {view.saved}
          </Tag>
        )
      }
    >
      <Card size="small">
        <Flex vertical gap={8}>
          <Editor value={text} onChange={setText} extensions={extensions} label="SQL" minHeight={110} />
          <Flex gap={8} wrap align="center">
            <Button type="primary" icon={<CaretRightOutlined />} loading={answer.isFetching} onClick={run}>
              Run
            </Button>
            <Typography.Text keyboard>Ctrl Enter</Typography.Text>
            <span style={{ flex: 1 }} />
            <Button icon={<FolderOpenOutlined />} onClick={() => setDialog('saved')}>
              Saved
            </Button>
            <History choose={setText} />
            {may && (
              <Button icon={<SaveOutlined />} disabled={!text.trim()} onClick={() => setDialog('save')}>
                Save
              </Button>
            )}
            <Button
              icon={<LinkOutlined />}
              disabled={!view.sql}
              onClick={() =>
                void copy(location.href).then(() => message.success('The address of this query is copied.'))
              }
            >
              Link
            </Button>
          </Flex>
        </Flex>
      </Card>
      {dialog === 'saved' && (
        <SavedQueries
          close={close}
          open={(query) => {
            close();
            saved.open(query);
          }}
        />
      )}
      {dialog === 'save' && (
        <SaveQuery
          sql={text}
          view={view.as === 'chart' ? 'chart' : 'table'}
          opened={saved.opened}
          close={close}
          done={saved.saved}
        />
      )}
      {saved.missing && <Failure error={saved.missing} />}
      {answer.error && <Failure error={answer.error} />}
      {answer.data && !answer.error && (
        <Result
          answer={answer.data}
          sql={view.sql ?? ''}
          as={view.as ?? 'table'}
          show={(as) => change({ as: as === 'table' ? '' : as })}
        />
      )}
      {!view.sql && (
        <Nothing why="No query has run yet.">
          Write one in SQL (ClickHouse dialect), and run it. Tables and columns are completed while you type.
        </Nothing>
      )}
    </Page>
  );
}

function History({ choose }: { choose: (sql: string) => void }) {
  const past = history();
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        items: past.slice(0, 15).map((sql) => ({
          key: sql,
          label: <span className="mono">{sql.slice(0, 110)}</span>,
          onClick: () => choose(sql),
        })),
      }}
      disabled={!past.length}
    >
      <Button icon={<HistoryOutlined />}>History</Button>
    </Dropdown>
  );
}

interface Row {
  key: number;
  values: unknown[];
}

function Result({
  answer,
  sql,
  as,
  show,
}: {
  answer: Shapes['Answer'];
  sql: string;
  as: string;
  show: (as: string) => void;
}) {
  const rows = useMemo(() => answer.rows.map((values, key): Row => ({ key, values })), [answer]);
  const series = useMemo(() => {
    const found = as === 'chart' ? Answer.overTime(answer) : undefined;
    return found && seriesOf(found);
  }, [answer, as]);
  const [act, busy] = useAction();
  const download = (format: 'csv' | 'arrow') =>
    act(async () => {
      const body = { sql, format, max_rows: MOST_ROWS };
      const blob = await take(api.POST('/api/v1/query', { body, parseAs: 'blob' }));
      save(`query.${format}`, blob as unknown as Blob);
    });
  const columns = useMemo(
    () =>
      Answer.columns(answer.columns).map(({ title, index, width, number }): TableColumnType<Row> => {
        const compare = Answer.comparison(answer.rows, index);
        return {
          title,
          width,
          align: number ? 'right' : undefined,
          ellipsis: true,
          className: 'mono',
          render: (_, row) => cell(row.values[index]),
          sorter: (a, b) => compare(a.key, b.key),
          // who points at a header is about to sort by it
          onHeaderCell: () => ({ onPointerEnter: () => compare(0, 0), onFocus: () => compare(0, 0) }),
        };
      }),
    [answer],
  );
  return (
    <>
      <Completeness completeness={answer.completeness} />
      <Flex gap={8} wrap align="center">
        <Segmented
          value={as}
          onChange={show}
          options={[
            { value: 'table', label: 'Table' },
            { value: 'chart', label: 'Chart', disabled: !Answer.isOverTime(answer) },
          ]}
        />
        <Typography.Text type="secondary">
          {count(answer.rows.length)} rows in {duration(answer.elapsed_s)}, {count(answer.rows_read)} read
        </Typography.Text>
        <span style={{ flex: 1 }} />
        <Button size="small" icon={<DownloadOutlined />} disabled={busy} onClick={() => void download('csv')}>
          CSV
        </Button>
        <Button size="small" icon={<DownloadOutlined />} disabled={busy} onClick={() => void download('arrow')}>
          Arrow
        </Button>
      </Flex>
      {as === 'chart' && series ? (
        <Card size="small">
          <Chart times={series.times} series={series.series} height={360} label="The answer over time" />
        </Card>
      ) : (
        <Rows<Row>
          rowKey="key"
          columns={columns}
          width={columns.reduce((sum, column) => sum + Number(column.width ?? 150), 0)}
          dataSource={rows}
          empty={<Nothing why="The answer has no row.">The query ran; nothing matches it.</Nothing>}
        />
      )}
    </>
  );
}

function Completeness({ completeness }: { completeness: Shapes['Completeness'] }) {
  const { complete, truncated, lost = [], offline_nodes = [] } = completeness;
  if (complete && !truncated) return null;
  const why = [
    truncated && `Only the first ${count(MOST_ROWS)} rows are shown.`,
    ...lost.map(
      (each) =>
        `${each.table}: ${count(each.rows)} rows of ${each.nodes} nodes are missing (${each.reason.replaceAll('_', ' ')}).`,
    ),
    offline_nodes.length > 0 && `Not connected now: ${offline_nodes.join(', ')}.`,
  ].filter(Boolean);
  return (
    <Alert
      type="warning"
      showIcon
      title="The answer is not complete"
      description={why.map((each) => <div key={String(each)}>{each}</div>)}
    />
  );
}
