/** The logs of the fleet. */
import { Page } from '../kit/Page';
import { LogView } from './LogView';

export function Logs() {
  return (
    <Page title="Logs">
      <LogView />
    </Page>
  );
}
