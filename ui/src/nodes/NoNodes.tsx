/** What a fleet without nodes is told: how its first node joins. */
import { Link } from '@tanstack/react-router';
import { Line } from '../kit/bits';
import { useRole } from '../kit/login';
import { Nothing } from '../kit/Page';

export function NoNodes() {
  const admin = useRole('admin');
  return (
    <Nothing why="No node has joined yet.">
      {admin ? (
        <>
          <Link to="/access" search={{ tab: 'join' }}>
            Make a join token
          </Link>{' '}
          and run the command that it comes with on a host.
        </>
      ) : (
        <>
          An administrator makes a token with <Line text="qd token create" />, and runs the command that it prints on a
          host.
        </>
      )}
    </Nothing>
  );
}
