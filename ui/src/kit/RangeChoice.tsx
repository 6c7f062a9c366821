/** The choice of how far a view looks back. */
import { Segmented } from 'antd';
import { RANGES, type Range, rangeOf } from './ranges';

export function RangeChoice({ value, onChange }: { value: string | undefined; onChange: (range: Range) => void }) {
  return (
    <Segmented<Range>
      aria-label="Time range"
      value={rangeOf(value)}
      onChange={onChange}
      options={Object.keys(RANGES) as Range[]}
    />
  );
}
