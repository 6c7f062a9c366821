/** Compose a command, choose its nodes, run it; its page then shows what it prints. */
import { CalendarOutlined, PlayCircleOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Alert, Form as AntForm, Button, Card, Checkbox, Collapse, Flex, Input, InputNumber, Segmented } from 'antd';
import { useEffect, useState } from 'react';
import { useAction } from '../kit/actions';
import { api, take } from '../kit/api';
import { useRole } from '../kit/login';
import { Page } from '../kit/Page';
import { Selected, SelectorInput } from '../kit/SelectorInput';
import { useAddress } from '../kit/search';
import { ScheduleForm } from '../schedules/ScheduleForm';
import { EMPTY, type Form, formOf, KINDS, type Kind, requestOf } from './compose';

export function Run() {
  const [view, change] = useAddress<'kind' | 'text' | 'nodes' | 'from'>();
  const [rest, setRest] = useState(EMPTY);
  const [scheduling, setScheduling] = useState(false);
  const form: Form = {
    ...rest,
    kind: view.kind && view.kind in KINDS ? (view.kind as Kind) : 'execute',
    text: view.text ?? '',
    nodes: view.nodes ?? '',
  };
  const set = (part: Partial<Form>) => setRest((old) => ({ ...old, ...part }));
  const failed = useEarlier(view.from, (earlier) => {
    setRest(earlier);
    change({ from: '', kind: earlier.kind, text: earlier.text, nodes: earlier.nodes });
  });
  const [act, busy] = useAction();
  const navigate = useNavigate();
  const may = useRole('operator');
  const problem = problemOf(form);
  const run = async () => {
    if (problem || busy || !may) return;
    const made = await act(() => take(api.POST('/api/v1/commands', { body: requestOf(form) })));
    if (made) void navigate({ to: '/jobs/$command', params: { command: made.id } });
  };
  const submitted = (event: React.KeyboardEvent) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void run();
  };
  return (
    <Page title="Run">
      {!may && (
        <Alert
          type="info"
          showIcon
          title="You may look, but not run commands."
          description="It needs a token with the role operator."
        />
      )}
      {failed && <Alert type="warning" showIcon title={failed} />}
      <Card size="small">
        <AntForm layout="vertical" onKeyDown={submitted}>
          <AntForm.Item>
            <Segmented<Kind>
              aria-label="What to run"
              value={form.kind}
              onChange={(kind) => change({ kind })}
              options={Object.entries(KINDS).map(([value, label]) => ({ value: value as Kind, label }))}
            />
          </AntForm.Item>
          <AntForm.Item
            label={form.kind === 'execute' ? 'Program and arguments' : 'Script'}
            htmlFor="text"
            extra={
              form.kind === 'execute'
                ? 'Quotes group words. No shell reads the line: for pipes and variables, choose a shell script.'
                : undefined
            }
          >
            {form.kind === 'execute' ? (
              <Input
                id="text"
                className="mono"
                size="large"
                placeholder="such as uptime -p"
                value={form.text}
                onChange={(event) => change({ text: event.target.value })}
              />
            ) : (
              <Input.TextArea
                id="text"
                className="mono"
                autoSize={{ minRows: 8, maxRows: 24 }}
                value={form.text}
                onChange={(event) => change({ text: event.target.value })}
              />
            )}
          </AntForm.Item>
          <AntForm.Item label="On">
            <Flex vertical gap={8}>
              <SelectorInput value={form.nodes} onChange={(nodes) => change({ nodes })} />
              <Selected line={form.nodes} />
              <Checkbox checked={form.any} onChange={(event) => set({ any: event.target.checked })}>
                Run it on only one of these nodes, one that is online
              </Checkbox>
            </Flex>
          </AntForm.Item>
          <Collapse
            ghost
            size="small"
            items={[
              {
                key: 'more',
                label: 'Limits and user',
                children: (
                  <Flex gap={16} wrap>
                    <AntForm.Item label="End it after, in seconds" htmlFor="max">
                      <InputNumber id="max" min={0} value={form.maxTime} onChange={(maxTime) => set({ maxTime })} />
                    </AntForm.Item>
                    <AntForm.Item label="User" htmlFor="user">
                      <Input
                        id="user"
                        placeholder="the agent's"
                        value={form.user}
                        onChange={(event) => set({ user: event.target.value })}
                      />
                    </AntForm.Item>
                    <AntForm.Item label="Working directory" htmlFor="dir">
                      <Input
                        id="dir"
                        value={form.workingdir}
                        onChange={(event) => set({ workingdir: event.target.value })}
                      />
                    </AntForm.Item>
                  </Flex>
                ),
              },
            ]}
          />
          <Flex gap={8} align="center" wrap>
            <Button
              type="primary"
              icon={<PlayCircleOutlined />}
              loading={busy}
              disabled={!!problem || !may}
              onClick={() => void run()}
            >
              Run
            </Button>
            <Button icon={<CalendarOutlined />} disabled={!!problem || !may} onClick={() => setScheduling(true)}>
              Save as a schedule
            </Button>
            <span>{form.text && problem}</span>
          </Flex>
        </AntForm>
      </Card>
      {scheduling && <ScheduleForm command={requestOf(form)} close={() => setScheduling(false)} />}
    </Page>
  );
}

function problemOf(form: Form): string {
  try {
    requestOf(form);
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Read the command with this id and hand its form over; return why that is impossible. */
function useEarlier(id: string | undefined, take_: (form: Form) => void): string {
  const earlier = useQuery({
    queryKey: ['command', id],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/commands/{command}', { signal, params: { path: { command: id ?? '' } } })),
    enabled: !!id,
  });
  const form = id && earlier.data ? formOf(earlier.data) : undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the form is taken once, when it is there
  useEffect(() => {
    if (form) take_(form);
  }, [form !== undefined, id]);
  if (earlier.error) return earlier.error.message;
  return id && earlier.data && !form
    ? 'This command cannot be changed here: the server has only the hash of its script, or it is not a program or a script. Run it again from its page.'
    : '';
}
