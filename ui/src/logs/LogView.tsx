/** The log view: search, histogram, and lines that follow what is printed. */
import { CaretRightOutlined, CopyOutlined, DownloadOutlined, LinkOutlined, PauseOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Alert, App, Button, Flex, Input, Select, Spin, Tag, Typography } from 'antd';
import { useMemo, useState } from 'react';
import { copy, save } from '../kit/files';
import { count, moment } from '../kit/format';
import { Lines } from '../kit/Lines';
import { LiveState } from '../kit/LiveState';
import { Failure, Nothing } from '../kit/Page';
import { servicesQuery } from '../kit/queries';
import { RangeChoice } from '../kit/RangeChoice';
import { SelectorInput } from '../kit/SelectorInput';
import { useAddress } from '../kit/search';
import { Histogram } from './Histogram';
import { useMessages } from './useMessages';
import { asText, histogram, type LOG_KEYS, type LogAddress } from './view';

const LEVEL_CHOICES = [
  { value: '', label: 'Every level' },
  { value: '7-9', label: 'Warnings and errors' },
  { value: '8,9', label: 'Errors' },
  { value: '1-2', label: 'stdout and stderr' },
  { value: '1-9', label: 'Without debug' },
];

/** The log view; `fixed` are parts of the view that cannot be changed here, such as the node of its page. */
export function LogView({ fixed = {} }: { fixed?: LogAddress }) {
  const [address, change] = useAddress<(typeof LOG_KEYS)[number]>();
  const view: LogAddress = {
    ...Object.fromEntries(Object.entries(address).filter(([key]) => key !== 'tab')),
    ...fixed,
  };
  const [following, setFollowing] = useState(true);
  const { first, messages, problems, live, times, more, loadOlder, error } = useMessages(view, following);
  const { message } = App.useApp();
  const services = useQuery(servicesQuery).data ?? [];
  const share = () => void copy(location.href).then(() => message.success('The address is copied.'));
  const bars = useMemo(() => histogram(messages, times.since, times.until ?? Date.now()), [messages, times]);
  return (
    <Flex vertical gap={12}>
      <Flex gap={8} wrap align="center">
        {fixed.nodes === undefined && (
          <div style={{ width: 240 }}>
            <SelectorInput value={view.nodes ?? ''} onChange={(nodes) => change({ nodes })} />
          </div>
        )}
        <Input.Search
          key={address.q ?? ''}
          allowClear
          style={{ width: 240 }}
          placeholder="Text, as it is written"
          aria-label="Text to find"
          defaultValue={address.q ?? ''}
          onSearch={(q) => change({ q })}
        />
        <Select
          aria-label="Level"
          style={{ width: 180 }}
          value={view.level ?? ''}
          onChange={(level) => change({ level })}
          options={LEVEL_CHOICES}
        />
        <Select
          allowClear
          showSearch
          aria-label="Service"
          placeholder="Every service"
          style={{ width: 160 }}
          value={view.name}
          onChange={(name) => change({ name: name ?? '' })}
          options={services.map((each) => ({ value: each.service.name ?? '' }))}
        />
        {view.job && (
          <Tag closable onClose={() => change({ job: '' })}>
            job {view.job.slice(0, 8)}
          </Tag>
        )}
        {times.until ? (
          <Tag closable onClose={() => change({ since: '', until: '' })}>
            {moment(times.since / 1000)} to {moment(times.until / 1000).slice(11)}
          </Tag>
        ) : (
          <RangeChoice value={view.range} onChange={(range) => change({ range })} />
        )}
      </Flex>
      {first.error && <Failure error={first.error} retry={() => void first.refetch()} />}
      {error !== undefined && <Failure error={error} />}
      {live.error && live.state === 'ended' && <Failure error={live.error} />}
      {problems.length > 0 && (
        <Alert type="warning" showIcon title="Some messages may be missing" description={problems.join('\n')} />
      )}
      <Histogram bars={bars} choose={(bar) => change({ since: String(bar.since), until: String(bar.until) })} />
      <Flex gap={8} align="center" wrap>
        <Typography.Text type="secondary">{count(messages.length)} messages</Typography.Text>
        {more && (
          <Button size="small" onClick={() => void loadOlder()}>
            Load older
          </Button>
        )}
        {first.isFetching && <Spin size="small" />}
        <span style={{ flex: 1 }} />
        {!times.until && (
          <>
            {following && <LiveState live={live} />}
            <Button
              size="small"
              icon={following ? <PauseOutlined /> : <CaretRightOutlined />}
              onClick={() => setFollowing(!following)}
            >
              {following ? 'Pause' : 'Follow'}
            </Button>
          </>
        )}
        <Button
          size="small"
          icon={<CopyOutlined />}
          onClick={() => void copy(asText(messages)).then(() => message.success('The lines are copied.'))}
        >
          Copy
        </Button>
        <Button size="small" icon={<DownloadOutlined />} onClick={() => save('messages.log', asText(messages))}>
          Download
        </Button>
        <Button size="small" icon={<LinkOutlined />} onClick={share}>
          Link
        </Button>
      </Flex>
      <Lines
        messages={messages}
        height="max(320px, calc(100vh - 330px))"
        names
        nodes={fixed.nodes === undefined}
        mark={view.q}
        empty={
          first.data && (
            <Nothing why="No program printed anything that matches.">
              Look further back, remove a part of the filter, or wait: new messages come by themselves.
            </Nothing>
          )
        }
      />
    </Flex>
  );
}
