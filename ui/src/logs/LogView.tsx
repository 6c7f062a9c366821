/** The log view: search, histogram, and lines that follow what is printed. */
import { CaretRightOutlined, CopyOutlined, DownloadOutlined, LinkOutlined, PauseOutlined } from '@ant-design/icons';
import { useQuery } from '@tanstack/react-query';
import { Alert, App, Button, Flex, Input, Select, Spin, Tag, Typography } from 'antd';
import { memo, type ReactNode, type RefObject, useRef, useState } from 'react';
import type { NumberedMessage } from '../kit/backlog';
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
import { asText, type LOG_KEYS, type LogAddress } from './view';

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
  return (
    <Flex vertical gap={12}>
      <Filters view={view} change={change} anyNode={fixed.nodes === undefined} />
      <Messages view={view} change={change} anyNode={fixed.nodes === undefined} />
    </Flex>
  );
}

interface PartProps {
  view: LogAddress;
  change: (change: LogAddress) => void;
  /** Whether the view may show any node. */
  anyNode: boolean;
}

function Filters({ view, change, anyNode }: PartProps) {
  const services = useQuery(servicesQuery).data ?? [];
  return (
    <Flex gap={8} wrap align="center">
      {anyNode && (
        <div style={{ width: 240 }}>
          <SelectorInput value={view.nodes ?? ''} onChange={(nodes) => change({ nodes })} />
        </div>
      )}
      <Input.Search
        key={view.q ?? ''}
        allowClear
        style={{ width: 240 }}
        placeholder="Text, as it is written"
        aria-label="Text to find"
        defaultValue={view.q ?? ''}
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
      {view.until ? (
        <Tag closable onClose={() => change({ since: '', until: '' })}>
          {moment(Number(view.since) / 1000)} to {moment(Number(view.until) / 1000).slice(11)}
        </Tag>
      ) : (
        <RangeChoice value={view.range} onChange={(range) => change({ range })} />
      )}
    </Flex>
  );
}

/** What is drawn again with every new message: it has few components. */
function Messages({ view, change, anyNode }: PartProps) {
  const [following, setFollowing] = useState(true);
  const [reading, setReading] = useState(false);
  const found = useMessages(view, { following, reading });
  const { first, messages, left, full, problems, live, times, more, loadOlder, error } = found;
  const latest = useRef(messages);
  latest.current = messages;
  return (
    <>
      {first.error && <Failure error={first.error} retry={() => void first.refetch()} />}
      {error !== undefined && <Failure error={error} />}
      {live.error && live.state === 'ended' && <Failure error={live.error} />}
      {problems.length > 0 && (
        <Alert type="warning" showIcon title="Some messages may be missing" description={problems.join('\n')} />
      )}
      <Histogram messages={messages} times={times} change={change} />
      <Flex gap={8} align="center" wrap>
        <Secondary>{count(left + messages.length)} messages</Secondary>
        {left > 0 && (
          <Secondary>
            The oldest {count(left)} have left this page. A shorter time or a filter shows them again.
          </Secondary>
        )}
        {full && <Secondary>More are not read before you go to the newest of these.</Secondary>}
        {more && (
          <Button size="small" onClick={() => void loadOlder()}>
            Load older
          </Button>
        )}
        {first.isFetching && <Spin size="small" />}
        <span style={{ flex: 1 }} />
        {!times.until && following && !full && <LiveState live={live} />}
        <Actions messages={latest} following={following} follow={times.until ? undefined : setFollowing} />
      </Flex>
      <Lines
        messages={messages}
        height="max(320px, calc(100vh - 330px))"
        names
        nodes={anyNode}
        mark={view.q}
        onReading={setReading}
        empty={
          first.data && (
            <Nothing why="No program printed anything that matches.">
              Look further back, remove a part of the filter, or wait: new messages come by themselves.
            </Nothing>
          )
        }
      />
    </>
  );
}

const Secondary = ({ children }: { children: ReactNode }) => (
  <Typography.Text type="secondary">{children}</Typography.Text>
);

interface ActionsProps {
  messages: RefObject<NumberedMessage[]>;
  following: boolean;
  /** Called to follow new messages, or not; without it there are none. */
  follow: ((following: boolean) => void) | undefined;
}

const Actions = memo(function Actions({ messages, following, follow }: ActionsProps) {
  const { message } = App.useApp();
  const copied = (text: string, what: string) => void copy(text).then(() => message.success(`${what} copied.`));
  return (
    <>
      {follow && (
        <Button
          size="small"
          icon={following ? <PauseOutlined /> : <CaretRightOutlined />}
          onClick={() => follow(!following)}
        >
          {following ? 'Pause' : 'Follow'}
        </Button>
      )}
      <Button size="small" icon={<CopyOutlined />} onClick={() => copied(asText(messages.current), 'The lines are')}>
        Copy
      </Button>
      <Button size="small" icon={<DownloadOutlined />} onClick={() => save('messages.log', asText(messages.current))}>
        Download
      </Button>
      <Button size="small" icon={<LinkOutlined />} onClick={() => copied(location.href, 'The address is')}>
        Link
      </Button>
    </>
  );
});
