/** The logs of the fleet. */
import { useQuery } from '@tanstack/react-query';
import { Page } from '../kit/Page';
import { nodesQuery } from '../kit/queries';
import { NoNodes } from '../nodes/NoNodes';
import { LogView } from './LogView';

export function Logs() {
  const nodes = useQuery(nodesQuery).data;
  return <Page title="Logs">{nodes?.length === 0 ? <NoNodes /> : <LogView />}</Page>;
}
