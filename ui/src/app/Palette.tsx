/** The palette: pages, nodes, services, modules, tables and saved queries by a part of their name, and commands. */
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Flex, Input, Modal, Tag, theme } from 'antd';
import { useEffect, useState } from 'react';
import { api, take } from '../kit/api';
import { modulesQuery, nodesQuery, savedQueriesQuery, servicesQuery, tablesQuery } from '../kit/queries';
import { PAGES } from './pages';
import { ofCommands, rank, type Target } from './targets';

const SHOWN = 12;
/** Commands that are shown below what is found by its name; and how long the text must rest until they are asked for. */
const COMMANDS = 6;
const REST_MS = 200;

export function Palette({ open, close }: { open: boolean; close: () => void }) {
  return (
    <Modal
      open={open}
      onCancel={close}
      footer={null}
      closable={false}
      destroyOnHidden
      width={560}
      style={{ top: 80 }}
      title="Find"
      aria-label="Find"
    >
      <Finder close={close} />
    </Modal>
  );
}

function useTargets(): Target[] {
  const named = (noun: string, path: string, names: string[] | undefined): Target[] =>
    (names ?? []).map((name) => ({ noun, name, to: `${path}/${encodeURIComponent(name)}` }));
  const nodes = useQuery(nodesQuery).data;
  const services = useQuery(servicesQuery).data;
  const modules = useQuery(modulesQuery).data;
  const tables = useQuery(tablesQuery).data;
  const queries = useQuery(savedQueriesQuery).data;
  return [
    ...PAGES.map((page) => ({ noun: 'page', name: page.name, to: page.path })),
    ...named(
      'node',
      '/nodes',
      nodes?.map((node) => node.name),
    ),
    ...named(
      'service',
      '/services',
      services?.map((each) => each.service.name ?? ''),
    ),
    ...named(
      'module',
      '/modules',
      modules?.map((each) => each.name),
    ),
    ...named(
      'table',
      '/tables',
      tables?.map((each) => each.table.name),
    ),
    ...(queries ?? []).map(({ name }) => ({
      noun: 'saved query',
      name,
      to: '/query',
      search: { saved: name },
    })),
  ];
}

/** Return the newest commands in which each word of the text is found; undefined until the server has answered. */
function useCommands(text: string): Target[] | undefined {
  const wanted = text.trim().slice(0, 200);
  const [asked, setAsked] = useState('');
  useEffect(() => {
    const timer = setTimeout(() => setAsked(wanted), REST_MS);
    return () => clearTimeout(timer);
  }, [wanted]);
  const commands = useQuery({
    queryKey: ['commands', 'found', asked],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/commands', { signal, params: { query: { text: asked, limit: COMMANDS } } })),
    enabled: asked !== '',
  });
  if (!wanted) return [];
  return asked === wanted && !commands.isPending ? ofCommands(commands.data ?? []) : undefined;
}

function Finder({ close }: { close: () => void }) {
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const { token } = theme.useToken();
  const navigate = useNavigate();
  const commands = useCommands(text);
  const found = [...rank(useTargets(), text).slice(0, SHOWN - (commands?.length ?? 0)), ...(commands ?? [])];
  // biome-ignore lint/correctness/useExhaustiveDependencies: another text begins at its best match
  useEffect(() => setAt(0), [text]);
  const go = (target: Target | undefined) => {
    if (!target) return;
    close();
    void navigate({ to: target.to as '/', search: target.search as never });
  };
  const pressed = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setAt((old) => (old + step + found.length) % Math.max(1, found.length));
    else if (event.key === 'Enter') go(found[at]);
    else return;
    event.preventDefault();
  };
  return (
    <Flex vertical gap={8}>
      <Input
        autoFocus
        size="large"
        placeholder="A page, node, service, module, table, query or command"
        aria-label="Find"
        role="combobox"
        aria-expanded
        aria-controls="found"
        aria-activedescendant={found[at] ? `found-${at}` : undefined}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={pressed}
      />
      <div id="found" role="listbox" aria-label="Found" tabIndex={-1}>
        {found.map((target, index) => (
          <div
            key={`${target.noun} ${target.to} ${target.name}`}
            id={`found-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === at}
            onMouseEnter={() => setAt(index)}
            onClick={() => go(target)}
            onKeyDown={pressed}
            style={{
              padding: '6px 10px',
              borderRadius: 6,
              cursor: 'pointer',
              display: 'flex',
              justifyContent: 'space-between',
              background: index === at ? token.controlItemBgActive : undefined,
            }}
          >
            <span style={{ minWidth: 0, overflow: 'hidden', textOverflow: 'ellipsis', whiteSpace: 'nowrap' }}>
              <span className={target.detail ? 'mono' : undefined}>{target.name}</span>
              {target.detail && <span style={{ color: token.colorTextSecondary }}> {target.detail}</span>}
            </span>
            <Tag variant="filled">{target.noun}</Tag>
          </div>
        ))}
        {found.length === 0 && (
          <div style={{ padding: 10, color: token.colorTextSecondary }}>
            {commands ? 'Nothing is named like this.' : 'Commands are being searched.'}
          </div>
        )}
      </div>
    </Flex>
  );
}
