/** The form that deploys a module: its settings and its nodes. */
import { Flex, Form, Input, InputNumber, Modal, Select, Switch } from 'antd';
import { useState } from 'react';
import { useAction } from '../kit/actions';
import { api, type Shapes, take } from '../kit/api';
import { Selected, SelectorInput } from '../kit/SelectorInput';
import { parseSelector, writeSelector } from '../kit/selector';
import { changed, fieldOf, type Setting } from './settings';

export function DeployForm({ module, close }: { module: Shapes['Module']; close: () => void }) {
  const settings = module.build.settings ?? [];
  const [nodes, setNodes] = useState(writeSelector(module.selector));
  const [given, setGiven] = useState<Record<string, unknown>>({
    ...Object.fromEntries(settings.map((setting) => [setting.name, setting.default])),
    ...module.settings,
  });
  const [act, busy] = useAction();
  const save = async () => {
    const body = { selector: parseSelector(nodes), settings: changed(settings, given) };
    const params = { path: { module: module.name } };
    if (
      await act(
        () => take(api.POST('/api/v1/modules/{module}/deploy', { params, body })),
        `${module.name} is being deployed.`,
      )
    )
      close();
  };
  return (
    <Modal
      open
      title={`${module.desire_state === 'DEPLOYED' ? 'Change' : 'Deploy'} ${module.name}`}
      okText="Deploy"
      confirmLoading={busy}
      onCancel={close}
      onOk={() => void save()}
    >
      <Form layout="vertical">
        <Form.Item label="On">
          <Flex vertical gap={8}>
            <SelectorInput value={nodes} onChange={setNodes} />
            <Selected line={nodes} />
          </Flex>
        </Form.Item>
        {settings.map((setting) => (
          <Form.Item
            key={setting.name}
            label={<span className="mono">{setting.name}</span>}
            htmlFor={`setting-${setting.name}`}
            extra={setting.description}
          >
            <SettingField
              setting={setting}
              value={given[setting.name]}
              change={(value) => setGiven({ ...given, [setting.name]: value })}
            />
          </Form.Item>
        ))}
        {settings.length === 0 && 'It has no settings.'}
      </Form>
    </Modal>
  );
}

function SettingField({
  setting,
  value,
  change,
}: {
  setting: Setting;
  value: unknown;
  change: (value: unknown) => void;
}) {
  const id = `setting-${setting.name}`;
  switch (fieldOf(setting)) {
    case 'switch':
      return <Switch id={id} checked={value === true} onChange={change} />;
    case 'choice':
      return (
        <Select
          id={id}
          value={value}
          onChange={change}
          options={Object.values(setting.values ?? {}).map((each) => ({ value: each }))}
        />
      );
    case 'number':
      return (
        <InputNumber
          id={id}
          style={{ width: '100%' }}
          value={typeof value === 'number' ? value : null}
          onChange={change}
        />
      );
    case 'text':
      return <Input id={id} value={String(value ?? '')} onChange={(event) => change(event.target.value)} />;
    default:
      return <JsonInput id={id} value={value} change={change} />;
  }
}

/** A list as JSON; what cannot be read is marked and not taken. */
function JsonInput({ id, value, change }: { id: string; value: unknown; change: (value: unknown) => void }) {
  const [text, setText] = useState(JSON.stringify(value ?? []));
  const [wrong, setWrong] = useState(false);
  const typed = (written: string) => {
    setText(written);
    try {
      change(JSON.parse(written));
      setWrong(false);
    } catch {
      setWrong(true); // not complete yet
    }
  };
  return (
    <Input
      id={id}
      className="mono"
      status={wrong ? 'error' : ''}
      value={text}
      onChange={(event) => typed(event.target.value)}
    />
  );
}
