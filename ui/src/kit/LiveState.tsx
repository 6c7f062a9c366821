/** Whether a stream is live, in a word. */
import { Badge } from 'antd';
import type { Live } from './live';

export function LiveState({ live }: { live: Live }) {
  switch (live.state) {
    case 'live':
      return <Badge status="processing" text="live" />;
    case 'ended':
      return <Badge status="default" text="ended" />;
    case 'lost':
      return <Badge status="warning" text="lost, trying again" />;
    default:
      return <Badge status="default" text="connecting" />;
  }
}
