/** The choice of nodes as one line, with what it selects now. */
import { useQuery } from '@tanstack/react-query';
import { AutoComplete, Flex, Tag, Typography } from 'antd';
import { api, take } from './api';
import { plural } from './format';
import { Failure } from './Page';
import { nodesQuery } from './queries';
import { parseSelector } from './selector';

const NAMED = 12;

export function useSelected(line: string) {
  return useQuery({
    queryKey: ['select', line],
    queryFn: ({ signal }) => take(api.POST('/api/v1/nodes/select', { signal, body: parseSelector(line) })),
    refetchInterval: 10_000,
    placeholderData: (previous) => previous,
    retry: false,
  });
}

interface SelectorInputProps {
  value: string;
  onChange: (line: string) => void;
  label?: string;
}

export function SelectorInput({ value, onChange, label = 'Nodes' }: SelectorInputProps) {
  const nodes = useQuery(nodesQuery).data ?? [];
  const last = value.split(/\s/).at(-1) ?? '';
  const before = value.slice(0, value.length - last.length);
  const labels = nodes.flatMap((node) => Object.entries(node.labels ?? {}).map(([key, name]) => `${key}=${name}`));
  const words = [...new Set([...labels.sort(), ...nodes.map((node) => node.name)])];
  const options = words
    .filter((word) => word !== last && word.toLowerCase().includes(last.toLowerCase()))
    .slice(0, 50)
    .map((word) => ({ value: before + word, label: word }));
  return (
    <AutoComplete
      allowClear
      style={{ width: '100%' }}
      value={value}
      options={options}
      onChange={(line) => onChange(line ?? '')}
      placeholder="all nodes, or role=web"
      aria-label={label}
    />
  );
}

/** Which nodes a line selects now, or why it selects none. */
export function Selected({ line }: { line: string }) {
  const selected = useSelected(line);
  if (selected.error) return <Failure error={selected.error} />;
  const nodes = selected.data ?? [];
  const offline = nodes.filter((node) => node.state !== 'ONLINE').length;
  if (selected.data?.length === 0) return <Typography.Text type="warning">No node has joined yet.</Typography.Text>;
  return (
    <Flex gap={4} wrap align="center" aria-live="polite">
      {!line.trim() && (
        <Typography.Text type="secondary">
          Name labels or nodes, such as role=web or web-1, to choose fewer:
        </Typography.Text>
      )}
      <Typography.Text strong>{plural(nodes.length, 'node')}</Typography.Text>
      {offline > 0 && <Typography.Text type="warning">{offline} offline</Typography.Text>}
      {nodes.slice(0, NAMED).map((node) => (
        <Tag key={`${node.gid}/${node.nid}`} color={node.state === 'ONLINE' ? 'success' : 'default'}>
          {node.name}
        </Tag>
      ))}
      {nodes.length > NAMED && <Typography.Text type="secondary">and {nodes.length - NAMED} more</Typography.Text>}
    </Flex>
  );
}
