/** The frame of all pages: navigation, palette, theme, who is signed in, and the state of the connection. */
import { BulbOutlined, LogoutOutlined, MenuOutlined, SearchOutlined, UserOutlined } from '@ant-design/icons';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useRouterState } from '@tanstack/react-router';
import { Layout as AntLayout, Button, Drawer, Dropdown, Flex, Grid, Menu, Typography, theme } from 'antd';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { meQuery, signOut } from '../kit/login';
import { ConnectionBanner } from './ConnectionBanner';
import { PAGES } from './pages';
import { choose, useDark } from './theme';

const Palette = lazy(() => import('./Palette').then((file) => ({ default: file.Palette })));

export function Layout() {
  const wide = Grid.useBreakpoint().lg ?? true;
  const [open, setOpen] = useState(false);
  const [palette, setPalette] = useState(false);
  const opened = useRef(false); // until then, the palette is not even loaded
  opened.current ||= palette;
  const { token } = theme.useToken();
  const path = useRouterState({ select: (state) => state.location.pathname });
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        setPalette(true);
      }
    };
    window.addEventListener('keydown', pressed);
    return () => window.removeEventListener('keydown', pressed);
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the drawer closes when another page is opened
  useEffect(() => setOpen(false), [path]);
  return (
    <AntLayout style={{ minHeight: '100%' }}>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <AntLayout.Header
        style={{
          background: token.colorBgContainer,
          borderBottom: `1px solid ${token.colorBorderSecondary}`,
          padding: '0 16px',
          height: 52,
          lineHeight: 'normal',
          position: 'sticky',
          top: 0,
          zIndex: 5,
        }}
      >
        <Flex align="center" gap={8} style={{ height: '100%' }}>
          {!wide && (
            <Button type="text" icon={<MenuOutlined />} aria-label="Navigation" onClick={() => setOpen(true)} />
          )}
          <Link
            to="/"
            aria-label="Quarterdeck"
            style={{ display: 'flex', gap: 10, alignItems: 'center', color: token.colorText }}
          >
            <img src="/ui/icon.svg" width={26} height={26} alt="" />
            {wide && <strong style={{ fontSize: 16 }}>Quarterdeck</strong>}
          </Link>
          <Flex flex={1} justify="center" style={{ minWidth: 0 }}>
            <Button
              icon={<SearchOutlined />}
              onClick={() => setPalette(true)}
              style={{ width: 340, maxWidth: '100%', justifyContent: 'flex-start', color: token.colorTextSecondary }}
            >
              <span style={{ flex: 1, textAlign: 'left' }}>Find</span>
              {wide && <Typography.Text keyboard>Ctrl K</Typography.Text>}
            </Button>
          </Flex>
          <ThemeSwitch />
          <Who />
        </Flex>
      </AntLayout.Header>
      <ConnectionBanner />
      <AntLayout hasSider={wide}>
        {wide ? (
          <AntLayout.Sider
            width={196}
            theme="light"
            style={{
              borderInlineEnd: `1px solid ${token.colorBorderSecondary}`,
              position: 'sticky',
              top: 52,
              height: 'calc(100vh - 52px)',
              overflow: 'auto',
            }}
          >
            <Navigation path={path} />
          </AntLayout.Sider>
        ) : (
          <Drawer
            open={open}
            onClose={() => setOpen(false)}
            placement="left"
            size={240}
            title="Quarterdeck"
            styles={{ body: { padding: 0 } }}
          >
            <Navigation path={path} />
          </Drawer>
        )}
        <AntLayout.Content id="content" style={{ padding: wide ? 24 : 12, minWidth: 0 }}>
          <Outlet />
        </AntLayout.Content>
      </AntLayout>
      {opened.current && (
        <Suspense>
          <Palette open={palette} close={() => setPalette(false)} />
        </Suspense>
      )}
    </AntLayout>
  );
}

function Navigation({ path }: { path: string }) {
  const at = PAGES.filter((page) => (page.path === '/' ? path === '/' : path.startsWith(page.path))).map(
    (page) => page.path,
  );
  return (
    <nav aria-label="Pages">
      <Menu
        mode="inline"
        selectedKeys={at}
        style={{ border: 0, paddingTop: 8 }}
        items={PAGES.map((page) => ({
          key: page.path,
          icon: page.icon,
          label: <Link to={page.path}>{page.name}</Link>,
        }))}
      />
    </nav>
  );
}

function ThemeSwitch() {
  const dark = useDark();
  return (
    <Button
      type="text"
      icon={<BulbOutlined />}
      aria-label={dark ? 'Light theme' : 'Dark theme'}
      title={dark ? 'Light theme' : 'Dark theme'}
      onClick={() => choose(dark ? 'light' : 'dark')}
    />
  );
}

function Who() {
  const me = useQuery(meQuery).data;
  const queries = useQueryClient();
  const leave = async () => {
    await signOut();
    queries.clear();
    location.assign('/ui/');
  };
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        items: [
          { key: 'who', label: `${me?.name ?? ''}, ${me?.role ?? ''}`, disabled: true },
          { key: 'out', icon: <LogoutOutlined />, label: 'Sign out', onClick: () => void leave() },
        ],
      }}
    >
      <Button type="text" icon={<UserOutlined />} aria-label={`Signed in as ${me?.name}`} />
    </Dropdown>
  );
}
