/** The editor of a file of services: the plan says what changes where before it is applied. */
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Alert, Button, Card, Checkbox, Flex, List, Skeleton, Tag, Typography } from 'antd';
import { useState } from 'react';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Editor } from '../kit/Editor';
import { plural } from '../kit/format';
import { Failure, Page } from '../kit/Page';
import { useAddress } from '../kit/search';
import { EXAMPLE, type File, readFile, writeFile } from './file';

const COLOURS = { added: 'success', changed: 'warning', removed: 'error', unchanged: 'default' } as const;

export function EditServices() {
  const [view] = useAddress<'service'>();
  const of = useQuery({
    queryKey: ['service', view.service],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/services/{service}', { signal, params: { path: { service: view.service ?? '' } } })),
    enabled: !!view.service,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const initial: File | undefined = view.service
    ? of.data && { ...(of.data.group ? { group: of.data.group } : {}), services: [of.data.service] }
    : EXAMPLE;
  return (
    <Page title={view.service ? `Edit ${view.service}` : 'Declare services'}>
      {of.error && <Failure error={of.error} />}
      {initial ? <FileEditor key={view.service} initial={writeFile(initial)} /> : !of.error && <Skeleton active />}
    </Page>
  );
}

function FileEditor({ initial }: { initial: string }) {
  const [source, setSource] = useState(initial);
  const [prune, setPrune] = useState(false);
  const [plan, setPlan] = useState<{ of: string; applied: Shapes['AppliedServices'] }>();
  const [error, setError] = useState<unknown>();
  const [act, busy] = useAction();
  const navigate = useNavigate();
  const key = `${prune} ${source}`;
  const ask = (dry_run: boolean) =>
    take(api.PUT('/api/v1/services', { body: { ...readFile(source), prune, dry_run } }));
  const look = async () => {
    try {
      setPlan({ of: key, applied: await ask(true) });
      setError(undefined);
    } catch (raised) {
      setPlan(undefined);
      setError(raised);
    }
  };
  const apply = async () => {
    const done = await act(() => ask(false), 'The services are applied.');
    if (done) void navigate({ to: '/services' });
  };
  const current = plan?.of === key ? plan.applied : undefined;
  return (
    <Card size="small">
      <Flex vertical gap={12}>
        <Typography.Text type="secondary">
          The file's services as JSON. Each needs a name and a command; the rest is optional, such as selector, env,
          after, health, memory.
        </Typography.Text>
        <Editor value={source} onChange={setSource} label="Services as JSON" />
        {error !== undefined && <Failure error={error} />}
        <Checkbox checked={prune} onChange={(event) => setPrune(event.target.checked)}>
          Remove the group's services that are not in this file
        </Checkbox>
        <Flex gap={8}>
          <Button type={current ? 'default' : 'primary'} onClick={() => void look()}>
            Show the plan
          </Button>
          <Button type="primary" disabled={!current} loading={busy} onClick={() => void apply()}>
            Apply
          </Button>
        </Flex>
        {current && <Plan applied={current} />}
      </Flex>
    </Card>
  );
}

function Plan({ applied }: { applied: Shapes['AppliedServices'] }) {
  return (
    <>
      <List
        size="small"
        bordered
        header="What would change"
        dataSource={[...(applied.changes ?? [])]}
        locale={{ emptyText: 'Nothing would change.' }}
        renderItem={(change) => (
          <List.Item>
            <span>
              <Tag color={COLOURS[change.change]}>{change.change}</Tag>
              <strong>{change.name}</strong> on {plural(change.nodes ?? 0, 'node')}
              {change.fields?.length ? `: ${change.fields.join(', ')}` : ''}
            </span>
          </List.Item>
        )}
      />
      {applied.notes?.map((note) => (
        <Alert key={note} type="warning" showIcon title={note} />
      ))}
    </>
  );
}
