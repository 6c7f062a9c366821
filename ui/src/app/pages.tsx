/** The pages in the navigation, in its order. */
import {
  ApiOutlined,
  AppstoreOutlined,
  CalendarOutlined,
  ClusterOutlined,
  CodeOutlined,
  DashboardOutlined,
  FileTextOutlined,
  InfoCircleOutlined,
  KeyOutlined,
  PlayCircleOutlined,
  TableOutlined,
  UnorderedListOutlined,
} from '@ant-design/icons';
import type { ReactNode } from 'react';

export interface PageEntry {
  path:
    | '/'
    | '/nodes'
    | '/services'
    | '/jobs'
    | '/run'
    | '/schedules'
    | '/logs'
    | '/modules'
    | '/tables'
    | '/query'
    | '/access'
    | '/about';
  name: string;
  icon: ReactNode;
}

export const PAGES: PageEntry[] = [
  { path: '/', name: 'Overview', icon: <DashboardOutlined /> },
  { path: '/nodes', name: 'Nodes', icon: <ClusterOutlined /> },
  { path: '/services', name: 'Services', icon: <AppstoreOutlined /> },
  { path: '/run', name: 'Run', icon: <PlayCircleOutlined /> },
  { path: '/jobs', name: 'Jobs', icon: <UnorderedListOutlined /> },
  { path: '/schedules', name: 'Schedules', icon: <CalendarOutlined /> },
  { path: '/logs', name: 'Logs', icon: <FileTextOutlined /> },
  { path: '/modules', name: 'Modules', icon: <ApiOutlined /> },
  { path: '/tables', name: 'Tables', icon: <TableOutlined /> },
  { path: '/query', name: 'Query', icon: <CodeOutlined /> },
  { path: '/access', name: 'Access', icon: <KeyOutlined /> },
  { path: '/about', name: 'About', icon: <InfoCircleOutlined /> },
];
