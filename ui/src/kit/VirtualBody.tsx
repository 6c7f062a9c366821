/** The body of an antd table of many rows: only those in sight are drawn, at the scroll position that they belong to. */
import { useVirtualizer } from '@tanstack/react-virtual';
import type { TableColumnsType, TableColumnType, TableProps } from 'antd';
import { memo, type ReactNode, type Ref, useCallback, useRef } from 'react';

/** The height of a row of one line, in px; others are measured. */
const ROW_PX = 39;
const OVERSCAN = 10;

/** What antd hands to a body. */
export interface BodyInfo {
  scrollbarSize: number;
  ref: Ref<{ scrollLeft: number }>;
  onScroll: (info: { currentTarget?: HTMLElement; scrollLeft?: number }) => void;
}

interface VirtualBodyProps<T> {
  rows: readonly T[];
  columns: TableColumnsType<T>;
  rowKey: TableProps<T>['rowKey'];
  onRow: TableProps<T>['onRow'];
  height: number;
  info: BodyInfo;
  empty: ReactNode;
}

export function VirtualBody<T extends object>({
  rows,
  columns,
  rowKey,
  onRow,
  height,
  info,
  empty,
}: VirtualBodyProps<T>) {
  const place = useRef<HTMLDivElement>(null);
  const items = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
    getItemKey: useCallback((index: number) => keyOf(rows[index], rowKey, index), [rows, rowKey]),
  });
  const { ref } = info;
  const placed = useCallback(
    (element: HTMLDivElement | null) => {
      place.current = element;
      if (typeof ref === 'function') ref(element as HTMLDivElement);
      else if (ref) ref.current = element as HTMLDivElement;
    },
    [ref],
  );
  const drawn = items.getVirtualItems();
  const widths = columns.map((column) => Number(column.width));
  const last = widths.length - 1;
  return (
    <div
      ref={placed}
      className="ant-table-body"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      style={{ maxHeight: height, overflow: 'auto' }}
      onScroll={(event) => info.onScroll({ currentTarget: event.currentTarget })}
    >
      {rows.length === 0 && <div className="ant-table-placeholder">{empty}</div>}
      <div style={{ height: items.getTotalSize(), position: 'relative' }}>
        <table
          style={{
            position: 'absolute',
            top: drawn[0]?.start ?? 0,
            tableLayout: 'fixed',
            width: widths.reduce((sum, width) => sum + width, -info.scrollbarSize),
          }}
        >
          <colgroup>
            {widths.map((width, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: columns do not move
              <col key={index} style={{ width: index === last ? width - info.scrollbarSize : width }} />
            ))}
          </colgroup>
          <tbody className="ant-table-tbody">
            {drawn.map(({ key, index }) => {
              const row = rows[index];
              return (
                row && (
                  <BodyRow<T>
                    key={key as string}
                    measure={items.measureElement}
                    row={row}
                    index={index}
                    columns={columns}
                    onRow={onRow}
                  />
                )
              );
            })}
          </tbody>
        </table>
      </div>
    </div>
  );
}

interface BodyRowProps<T> {
  measure: (element: HTMLElement | null) => void;
  row: T;
  index: number;
  columns: TableColumnsType<T>;
  onRow: TableProps<T>['onRow'];
}

const BodyRow = memo(function BodyRow<T extends object>({ measure, row, index, columns, onRow }: BodyRowProps<T>) {
  const { className = '', ...handlers } = onRow?.(row, index) ?? {};
  return (
    <tr ref={measure} data-index={index} className={`ant-table-row ${className}`} {...handlers}>
      {columns.map((column: TableColumnType<T>, place) => (
        <td
          key={String(column.key ?? column.dataIndex ?? place)}
          className={`ant-table-cell${column.ellipsis ? ' ant-table-cell-ellipsis' : ''} ${column.className ?? ''}`}
          style={{ textAlign: column.align }}
        >
          {contentOf(column, row, index)}
        </td>
      ))}
    </tr>
  );
}) as <T extends object>(props: BodyRowProps<T>) => ReactNode;

function contentOf<T extends object>(column: TableColumnType<T>, row: T, index: number): ReactNode {
  const value = typeof column.dataIndex === 'string' ? row[column.dataIndex as keyof T] : undefined;
  return (column.render ? column.render(value, row, index) : value) as ReactNode;
}

function keyOf<T extends object>(row: T | undefined, rowKey: TableProps<T>['rowKey'], index: number): string | number {
  if (row === undefined || rowKey === undefined) return index;
  const key = typeof rowKey === 'function' ? rowKey(row, index) : row[rowKey as keyof T];
  return key as string | number;
}
