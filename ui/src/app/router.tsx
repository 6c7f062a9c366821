/** The addresses of the pages. Each page is a file of its own that is loaded when it is opened. */
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { Failure, Nothing, Page } from '../kit/Page';
import { texts } from '../kit/search';
import { LOG_KEYS } from '../logs/view';
import { Layout } from './Layout';

const root = createRootRoute({
  component: Layout,
  notFoundComponent: () => (
    <Page title="No such page">
      <Nothing why="This address leads nowhere.">Choose a page in the navigation, or press Ctrl-K.</Nothing>
    </Page>
  ),
  errorComponent: ({ error, reset }) => <Failure error={error} retry={reset} />,
});
const getParentRoute = () => root;

const routes = [
  createRoute({
    getParentRoute,
    path: '/',
    component: lazyRouteComponent(() => import('../overview/Overview'), 'Overview'),
  }),
  createRoute({
    getParentRoute,
    path: '/nodes',
    validateSearch: texts('q', 'on', 'state'),
    component: lazyRouteComponent(() => import('../nodes/Nodes'), 'Nodes'),
  }),
  createRoute({
    getParentRoute,
    path: '/nodes/$node',
    validateSearch: texts('tab', ...LOG_KEYS),
    component: lazyRouteComponent(() => import('../nodes/NodePage'), 'NodePage'),
  }),
  createRoute({
    getParentRoute,
    path: '/services',
    validateSearch: texts('q', 'state'),
    component: lazyRouteComponent(() => import('../services/Services'), 'Services'),
  }),
  createRoute({
    getParentRoute,
    path: '/services/edit',
    validateSearch: texts('service'),
    component: lazyRouteComponent(() => import('../services/EditServices'), 'EditServices'),
  }),
  createRoute({
    getParentRoute,
    path: '/services/$service',
    validateSearch: texts('range'),
    component: lazyRouteComponent(() => import('../services/ServicePage'), 'ServicePage'),
  }),
  createRoute({
    getParentRoute,
    path: '/run',
    validateSearch: texts('kind', 'text', 'nodes', 'from', 'schedule'),
    component: lazyRouteComponent(() => import('../run/Run'), 'Run'),
  }),
  createRoute({
    getParentRoute,
    path: '/jobs',
    validateSearch: texts('state', 'q', 'who', 'nodes', 'range'),
    component: lazyRouteComponent(() => import('../jobs/Jobs'), 'Jobs'),
  }),
  createRoute({
    getParentRoute,
    path: '/jobs/$command',
    validateSearch: texts('node'),
    component: lazyRouteComponent(() => import('../jobs/CommandPage'), 'CommandPage'),
  }),
  createRoute({
    getParentRoute,
    path: '/schedules',
    validateSearch: texts('q', 'state'),
    component: lazyRouteComponent(() => import('../schedules/Schedules'), 'Schedules'),
  }),
  createRoute({
    getParentRoute,
    path: '/logs',
    validateSearch: texts(...LOG_KEYS),
    component: lazyRouteComponent(() => import('../logs/Logs'), 'Logs'),
  }),
  createRoute({
    getParentRoute,
    path: '/modules',
    validateSearch: texts('q', 'state'),
    component: lazyRouteComponent(() => import('../modules/Modules'), 'Modules'),
  }),
  createRoute({
    getParentRoute,
    path: '/modules/$module',
    validateSearch: texts('range'),
    component: lazyRouteComponent(() => import('../modules/ModulePage'), 'ModulePage'),
  }),
  createRoute({
    getParentRoute,
    path: '/tables',
    validateSearch: texts('q'),
    component: lazyRouteComponent(() => import('../tables/Tables'), 'Tables'),
  }),
  createRoute({
    getParentRoute,
    path: '/tables/$table',
    validateSearch: texts('range', 'node'),
    component: lazyRouteComponent(() => import('../tables/TablePage'), 'TablePage'),
  }),
  createRoute({
    getParentRoute,
    path: '/query',
    validateSearch: texts('sql', 'as', 'saved'),
    component: lazyRouteComponent(() => import('../query/Query'), 'Query'),
  }),
  createRoute({
    getParentRoute,
    path: '/access',
    validateSearch: texts('tab', 'q', 'state', 'range'),
    component: lazyRouteComponent(() => import('../access/Access'), 'Access'),
  }),
  createRoute({
    getParentRoute,
    path: '/about',
    component: lazyRouteComponent(() => import('../about/About'), 'About'),
  }),
] as const;

export const router = createRouter({
  routeTree: root.addChildren(routes),
  basepath: '/ui',
  defaultPreload: 'intent',
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
