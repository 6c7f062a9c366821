/** The form that makes a schedule of a command. */

import { useNavigate } from '@tanstack/react-router';
import { Form, Input, InputNumber, Modal, Segmented, Select } from 'antd';
import { useState } from 'react';
import { lineOf } from '../jobs/command';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { writeSelector } from '../kit/selector';

export function ScheduleForm({ command, close }: { command: Shapes['CreateCommand']; close: () => void }) {
  const [name, setName] = useState('');
  const [by, setBy] = useState<'cron' | 'period'>('cron');
  const [cron, setCron] = useState('0 0 3 * * *');
  const [timezone, setTimezone] = useState(Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC');
  const [period, setPeriod] = useState<number | null>(3600);
  const [missed, setMissed] = useState<'skip' | 'once'>('skip');
  const [act, busy] = useAction();
  const navigate = useNavigate();
  const save = async () => {
    const when = by === 'cron' ? { cron, timezone } : { period_s: period ?? 0 };
    const body = { name: name.trim(), command, missed, ...when };
    const made = await act(() => take(api.POST('/api/v1/schedules', { body })), 'The schedule is saved.');
    if (made) {
      close();
      void navigate({ to: '/schedules' });
    }
  };
  return (
    <Modal
      open
      title="Save as a schedule"
      okText="Save"
      onCancel={close}
      onOk={() => void save()}
      okButtonProps={{ disabled: !name.trim(), loading: busy }}
    >
      <Form layout="vertical">
        <Form.Item label="Command">
          <span className="mono">{lineOf(command)}</span> on {writeSelector(command.selector) || 'every node'}
        </Form.Item>
        <Form.Item label="Name" htmlFor="schedule-name">
          <Input id="schedule-name" autoFocus value={name} onChange={(event) => setName(event.target.value)} />
        </Form.Item>
        <Form.Item>
          <Segmented
            value={by}
            onChange={setBy}
            options={[
              { value: 'cron', label: 'At times of the day' },
              { value: 'period', label: 'At an interval' },
            ]}
          />
        </Form.Item>
        {by === 'cron' ? (
          <>
            <Form.Item
              label="Cron line"
              htmlFor="cron"
              extra="second minute hour day-of-month month day-of-week: 0 30 3 * * * is each day at 03:30"
            >
              <Input id="cron" className="mono" value={cron} onChange={(event) => setCron(event.target.value)} />
            </Form.Item>
            <Form.Item label="Time zone" htmlFor="zone">
              <Select
                id="zone"
                showSearch
                value={timezone}
                onChange={setTimezone}
                options={['UTC', ...Intl.supportedValuesOf('timeZone')].map((value) => ({ value }))}
              />
            </Form.Item>
          </>
        ) : (
          <Form.Item label="Period in seconds" htmlFor="period">
            <InputNumber id="period" min={1} value={period} onChange={setPeriod} />
          </Form.Item>
        )}
        <Form.Item label="Runs that were missed because the server was down">
          <Segmented
            value={missed}
            onChange={setMissed}
            options={[
              { value: 'skip', label: 'Skip them' },
              { value: 'once', label: 'Run once afterwards' },
            ]}
          />
        </Form.Item>
      </Form>
    </Modal>
  );
}
