/** The start of the page: a sign-in code of its address is used, then the page is drawn. */
import { QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { type AnyRoute, RouterProvider } from '@tanstack/react-router';
import { App as AntApp, ConfigProvider, theme } from 'antd';
import { StrictMode, useEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError } from '../kit/api';
import { codeOf, meQuery, refused, signIn } from '../kit/login';
import { Gate } from './Gate';
import { router } from './router';
import './page.css';
import { useDark } from './theme';

const queries = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => refused(queries, error),
  }),
  defaultOptions: {
    queries: {
      retry: (failures, error) => failures < 2 && error instanceof ApiError && error.passing,
      staleTime: 2000,
      networkMode: 'always', // the server may be on this machine
    },
  },
});

const SHAPE = { borderRadius: 6, fontSize: 14 };
/** Colours whose text has a contrast of at least 4.5 on their backgrounds. */
const LIGHT = {
  hashed: false, // there is one version of antd in the page
  algorithm: theme.defaultAlgorithm,
  token: {
    ...SHAPE,
    colorPrimary: '#0958d9',
    colorInfo: '#0958d9',
    colorLink: '#0958d9',
    colorPrimaryHover: '#1a66dd',
    colorLinkHover: '#1a66dd',
    colorSuccess: '#237804',
    colorSuccessBg: '#f0faeb',
    colorSuccessBorder: '#a9dc8f',
    colorWarning: '#925400',
    colorWarningBg: '#fff7e0',
    colorWarningBorder: '#ecc96f',
    colorError: '#cf1322',
    colorErrorBg: '#fff1f0',
    colorErrorBorder: '#ffbcb6',
    colorInfoBg: '#e8f3ff',
    colorTextTertiary: 'rgba(0, 0, 0, 0.62)',
    colorTextDescription: 'rgba(0, 0, 0, 0.62)',
    colorTextPlaceholder: 'rgba(0, 0, 0, 0.58)',
  },
};
const DARK = {
  hashed: false, // there is one version of antd in the page
  algorithm: theme.darkAlgorithm,
  token: {
    ...SHAPE,
    colorLink: '#69a8f5',
    colorError: '#f37370',
    colorTextTertiary: 'rgba(255, 255, 255, 0.62)',
    colorTextDescription: 'rgba(255, 255, 255, 0.62)',
    colorTextPlaceholder: 'rgba(255, 255, 255, 0.55)',
  },
  components: {
    Menu: { itemSelectedColor: '#8fc0ff' },
    Tabs: { itemSelectedColor: '#69a8f5', itemHoverColor: '#8fc0ff', itemActiveColor: '#69a8f5' },
    Button: { dangerColor: '#1f0a0a' },
  },
};

function Root({ refusal }: { refusal: Error | undefined }) {
  const dark = useDark();
  useEffect(() => {
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  }, [dark]);
  return (
    <ConfigProvider theme={dark ? DARK : LIGHT}>
      <AntApp>
        <QueryClientProvider client={queries}>
          <Gate refusal={refusal}>
            <RouterProvider router={router} />
          </Gate>
        </QueryClientProvider>
      </AntApp>
    </ConfigProvider>
  );
}

/** Use the code in the address, and remove it from there; return why it was refused, if it was. */
async function takeCode(): Promise<Error | undefined> {
  const code = codeOf(location.hash);
  if (!code) return undefined;
  history.replaceState(null, '', location.pathname + location.search);
  try {
    queries.setQueryData(meQuery.queryKey, await signIn({ code }));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Load the code of the page that is opened while the server is asked who opens it. */
function preload(): void {
  for (const { routeId } of router.matchRoutes(router.latestLocation))
    void router.loadRouteChunk((router.routesById as Record<string, AnyRoute>)[routeId] as AnyRoute);
}

const place = document.getElementById('root');
if (!place) throw new Error('index.html has no #root');
preload();
const refusal = await takeCode();
createRoot(place).render(
  <StrictMode>
    <Root refusal={refusal} />
  </StrictMode>,
);
