/** Compose a command, choose its nodes, run it; its page then shows what it prints. */
import { CalendarOutlined, PlayCircleOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Alert, Form as AntForm, Button, Card, Checkbox, Collapse, Flex, Input, InputNumber, Segmented } from 'antd';
import { useEffect, useState } from 'react';
import { scriptOf } from '../jobs/command';
import { useAction } from '../kit/actions';
import { api, take } from '../kit/api';
import { useRole } from '../kit/login';
import { Page } from '../kit/Page';
import { scriptQuery } from '../kit/queries';
import { Selected, SelectorInput } from '../kit/SelectorInput';
import { useAddress } from '../kit/search';
import { ScheduleForm } from '../schedules/ScheduleForm';
import { EMPTY, type Form, formOf, KINDS, type Kind, requestOf } from './compose';

/** A longer text is not in the address: browsers limit it. */
const ADDRESS_LETTERS = 8000;

export function Run() {
  const [view, change] = useAddress<'kind' | 'text' | 'nodes' | 'from' | 'schedule'>();
  const [rest, setRest] = useState(EMPTY);
  const [scheduling, setScheduling] = useState(false);
  const form: Form = {
    ...rest,
    kind: view.kind && view.kind in KINDS ? (view.kind as Kind) : 'execute',
    text: view.text ?? rest.text,
    nodes: view.nodes ?? '',
  };
  const set = (part: Partial<Form>) => setRest((old) => ({ ...old, ...part }));
  const write = (text: string) => {
    set({ text });
    change({ text: inAddress(text) });
  };
  const earlier = useEarlier(view.from, view.schedule, (found) => {
    setRest(found);
    // a script that is too long for the address is read again after a reload
    const kept = inAddress(found.text) ? { from: '', schedule: '' } : {};
    change({ ...kept, kind: found.kind, text: inAddress(found.text), nodes: found.nodes });
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
      {earlier && <Alert type="warning" showIcon title={earlier} />}
      <Card size="small">
        <AntForm layout="vertical" onKeyDown={submitted}>
          <AntForm.Item>
            <Segmented<Kind>
              aria-label="What to run"
              value={form.kind}
              onChange={(kind) => {
                set({ others: {} }); // they are of the other kind
                change({ kind });
              }}
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
                onChange={(event) => write(event.target.value)}
              />
            ) : (
              <Input.TextArea
                id="text"
                className="mono"
                autoSize={{ minRows: 8, maxRows: 24 }}
                value={form.text}
                onChange={(event) => write(event.target.value)}
              />
            )}
          </AntForm.Item>
          <AntForm.Item label="On">
            <Flex vertical gap={8}>
              <SelectorInput value={form.nodes} onChange={(nodes) => change({ nodes })} />
              <Selected line={form.nodes} />
              <Checkbox checked={form.any} onChange={(event) => set({ any: event.target.checked })}>
                Run it on only one of them, one that is online
              </Checkbox>
            </Flex>
          </AntForm.Item>
          <Others form={form} clear={() => set({ others: {}, more: {} })} />
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

/** Return a text as it is in the address: "" for one that is too long for it. */
function inAddress(text: string): string {
  return text.length <= ADDRESS_LETTERS ? text : '';
}

/** What a command that is changed keeps, and the form does not show. */
function Others({ form, clear }: { form: Form; clear: () => void }) {
  const kept = Object.entries({ ...form.others, ...form.more });
  if (!kept.length) return null;
  return (
    <Alert
      type="info"
      style={{ marginBottom: 16 }}
      title="It keeps what it was asked with before"
      description={
        <span className="mono">
          {kept
            .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
            .join(' ')}
        </span>
      }
      action={
        <Button size="small" onClick={clear}>
          Leave it out
        </Button>
      }
    />
  );
}

/** Read the command with this id, or that of a schedule, and hand its form over; return why that is impossible. */
function useEarlier(id: string | undefined, schedule: string | undefined, take_: (form: Form) => void): string {
  const command = useQuery({
    queryKey: ['command', id],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/commands/{command}', { signal, params: { path: { command: id ?? '' } } })),
    enabled: !!id,
  });
  const scheduled = useQuery({
    queryKey: ['schedules', schedule],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/schedules/{schedule}', { signal, params: { path: { schedule: schedule ?? '' } } })),
    enabled: !!schedule,
  });
  const found = (id && command.data) || (schedule && scheduled.data?.command) || undefined;
  const sha256 = scriptOf(found);
  const script = useQuery(scriptQuery(sha256));
  const whole = found && (!sha256 || script.data) ? found : undefined;
  const form = whole && formOf(whole, script.data?.source);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the form is taken once, when it is there
  useEffect(() => {
    if (form) take_(form);
  }, [form !== undefined, id, schedule]);
  const error = (id && command.error) || (schedule && scheduled.error) || (sha256 && script.error);
  if (error) return error.message;
  return whole && !form
    ? 'This command cannot be changed here: it is neither a program nor a script. Run it again from its page.'
    : '';
}
