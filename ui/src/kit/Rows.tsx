/** A table of rows that draws only those in sight, as high as the window allows. */
import { Table, type TableProps } from 'antd';
import { useLayoutEffect, useRef, useState } from 'react';

/** Below so many rows the whole table is drawn. */
const FEW = 100;
const LEAST_PX = 240;

export interface RowsProps<T> extends Omit<TableProps<T>, 'scroll' | 'pagination' | 'virtual'> {
  /** The width in px below which the table scrolls sideways. */
  width?: number;
  /** Called when a row is clicked or Enter is pressed on it. */
  open?: (row: T) => void;
  /** What is shown when there is no row. */
  empty: React.ReactNode;
}

export function Rows<T extends object>({ width = 760, open, empty, dataSource, ...rest }: RowsProps<T>) {
  const place = useRef<HTMLDivElement>(null);
  const [height, setHeight] = useState(480);
  const many = (dataSource?.length ?? 0) > FEW;
  useLayoutEffect(() => {
    const measure = () => {
      const top = place.current?.getBoundingClientRect().top ?? 0;
      setHeight(Math.max(LEAST_PX, window.innerHeight - top - 80));
    };
    measure();
    window.addEventListener('resize', measure);
    return () => window.removeEventListener('resize', measure);
  }, []);
  useLayoutEffect(() => {
    // what scrolls sideways must be reachable by keyboard
    place.current?.querySelector('.ant-table-content')?.setAttribute('tabindex', '0');
  });
  return (
    <div ref={place}>
      <Table<T>
        size="small"
        pagination={false}
        virtual={many}
        scroll={many ? { x: width, y: height } : { x: width }}
        dataSource={dataSource}
        locale={{ emptyText: rest.loading ? ' ' : empty }}
        onRow={
          open &&
          ((row) => ({
            className: 'clickable',
            onClick: (event) => {
              const inside = (event.target as HTMLElement).closest('a, button');
              if (!inside && !window.getSelection()?.toString()) open(row);
            },
          }))
        }
        {...rest}
      />
    </div>
  );
}
