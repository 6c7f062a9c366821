/** A list of one noun: its filter, which is in the address, and a table of the rows that match; alone or as a page. */
import { Button, Flex, Input, Segmented, Select } from 'antd';
import type { ReactNode } from 'react';
import { type Choice, filterRows } from './filter';
import { Loaded, type LoadedQuery, Nothing, Page, type PageProps } from './Page';
import { Rows, type RowsProps } from './Rows';
import { useAddress } from './search';

/** So many choices of state stand beside each other; more are in a menu. */
const BESIDE = 4;

export interface ListProps<T> extends Pick<RowsProps<T>, 'rowKey' | 'columns' | 'width' | 'open' | 'empty'> {
  /** What one row is, such as "job". */
  noun: string;
  query: LoadedQuery<T[]>;
  /** The text in which words are found, and the hint that says what it has. */
  find?: { text: (row: T) => string; hint: string };
  /** Choices beside "All". */
  choices?: Choice<T>[];
  /** Other filters, which the caller applies, and their keys in the address. */
  more?: { keys: string[]; inputs: ReactNode };
  actions?: ReactNode;
  /** Above the table. */
  note?: ReactNode;
}

export function List<T extends object>(props: ListProps<T>) {
  const { noun, query, find, choices = [], more, actions, note, empty, ...table } = props;
  const [view, change] = useAddress();
  const keys = ['q', 'state', ...(more?.keys ?? [])];
  const filtered = keys.some((key) => view[key]);
  const bar = find || choices.length > 0 || more || actions;
  const why = (rows: T[]) => {
    if (!filtered || (rows.length === 0 && !more)) return empty;
    const choice = choices.find(({ value }) => value === view.state);
    const alone = keys.every((key) => key === 'state' || !view[key]);
    return (
      <Nothing why={(alone && choice?.none) || `No ${noun} matches the filter.`}>
        <Button size="small" onClick={() => change(Object.fromEntries(keys.map((key) => [key, ''])))}>
          Show every {noun}
        </Button>
      </Nothing>
    );
  };
  return (
    <Flex vertical gap={12}>
      {bar && (
        <Flex justify="space-between" gap={8} wrap>
          <Flex gap={8} wrap align="center">
            {find && (
              <Input
                allowClear
                style={{ width: 260 }}
                placeholder={find.hint}
                aria-label="Text to find"
                value={view.q ?? ''}
                onChange={(event) => change({ q: event.target.value })}
              />
            )}
            {choices.length > 0 && (
              <StateChoice choices={choices} value={view.state ?? ''} onChange={(state) => change({ state })} />
            )}
            {more?.inputs}
          </Flex>
          {actions}
        </Flex>
      )}
      <Loaded query={query}>
        {(rows) => (
          <>
            {note}
            <Rows<T> {...table} dataSource={filterRows(rows, view, { text: find?.text, choices })} empty={why(rows)} />
          </>
        )}
      </Loaded>
    </Flex>
  );
}

function StateChoice<T>({
  choices,
  value,
  onChange,
}: {
  choices: Choice<T>[];
  value: string;
  onChange: (value: string) => void;
}) {
  const options = [{ value: '', label: 'All' }, ...choices].map(({ value, label = value }) => ({ value, label }));
  return choices.length < BESIDE ? (
    <Segmented aria-label="State" value={value} onChange={onChange} options={options} />
  ) : (
    <Select aria-label="State" style={{ width: 150 }} value={value} onChange={onChange} options={options} />
  );
}

/** A page that is one list. */
export function ListPage<T extends object>({
  title,
  aside,
  actions,
  ...list
}: Omit<PageProps, 'children'> & ListProps<T>) {
  return (
    <Page title={title} aside={aside} actions={actions}>
      <List {...list} />
    </Page>
  );
}
