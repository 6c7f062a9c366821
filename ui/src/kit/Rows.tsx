/** A table of rows that draws only those in sight, as high as the window allows. */
import { Table, type TableColumnsType, type TableProps } from 'antd';
import { useCallback, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { type BodyInfo, VirtualBody } from './VirtualBody';

/** Below so many rows the whole table is drawn. */
const FEW = 50;
const LEAST_PX = 240;
/** The width of a column that says none. */
const COLUMN_PX = 150;

export interface RowsProps<T>
  extends Omit<TableProps<T>, 'scroll' | 'pagination' | 'virtual' | 'components' | 'columns'> {
  columns: TableColumnsType<T>;
  /** The width in px below which the table scrolls sideways. */
  width?: number;
  /** Called when a row is clicked or Enter is pressed on it. */
  open?: (row: T) => void;
  /** What is shown when there is no row. */
  empty: React.ReactNode;
}

export function Rows<T extends object>({ width = 760, open, empty, dataSource, columns, ...rest }: RowsProps<T>) {
  const place = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState({ width: 0, height: 480 });
  // rows that are expanded are antd's; a table that had many rows stays what it is while a filter leaves few
  const many = useMany(dataSource?.length ?? 0);
  const own = many && !rest.expandable;
  useLayoutEffect(() => {
    const measure = () => {
      const { top = 0, width: wide = 0 } = place.current?.getBoundingClientRect() ?? {};
      setRoom({ width: wide, height: Math.max(LEAST_PX, window.innerHeight - top - 80) });
    };
    measure();
    window.addEventListener('resize', measure);
    return () => window.removeEventListener('resize', measure);
  }, []);
  useLayoutEffect(() => {
    // what scrolls sideways must be reachable by keyboard
    place.current?.querySelector('.ant-table-content')?.setAttribute('tabindex', '0');
  });
  const opened = useRef(open);
  opened.current = open;
  const opens = !!open;
  const onRow = useCallback(
    (row: T) => ({
      className: 'clickable',
      onClick: (event: React.MouseEvent) => {
        const inside = (event.target as HTMLElement).closest('a, button');
        if (!inside && !window.getSelection()?.toString()) opened.current?.(row);
      },
    }),
    [],
  );
  const fitted = useMemo(() => (own ? widened(columns, room.width) : columns), [columns, own, room.width]);
  const emptied = rest.loading ? ' ' : empty;
  const body = (rows: readonly T[], info: BodyInfo) => (
    <VirtualBody<T>
      rows={rows}
      columns={fitted}
      rowKey={rest.rowKey}
      onRow={opens ? onRow : undefined}
      height={room.height}
      info={info}
      empty={emptied}
    />
  );
  return (
    <div ref={place}>
      <Table<T>
        size="small"
        pagination={false}
        virtual={many && !own}
        components={own ? { body: body as never } : undefined}
        scroll={many ? { x: width, y: room.height } : { x: width }}
        dataSource={dataSource}
        locale={{ emptyText: emptied }}
        onRow={opens ? onRow : undefined}
        columns={fitted}
        {...rest}
      />
    </div>
  );
}

/** Return whether there are or were many rows. */
function useMany(count: number): boolean {
  const were = useRef(false);
  were.current ||= count > FEW;
  return were.current;
}

/** Return the columns at least so wide together, each in proportion. */
function widened<T>(columns: TableColumnsType<T>, room: number): TableColumnsType<T> {
  const widthOf = (column: { width?: number | string }) => Number(column.width ?? COLUMN_PX);
  const sum = columns.reduce((total, column) => total + widthOf(column), 0);
  const scale = Math.max(1, room / Math.max(1, sum));
  return columns.map((column) => ({ ...column, width: Math.floor(widthOf(column) * scale) }));
}
