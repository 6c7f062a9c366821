/** Who may do what: API tokens, join tokens, browsers that are signed in, and the audit log. */
import { useNavigate } from '@tanstack/react-router';
import { Alert, Tabs } from 'antd';
import { useRole } from '../kit/login';
import { Page } from '../kit/Page';
import { useAddress } from '../kit/search';
import { ApiTokens } from './ApiTokens';
import { Audit } from './Audit';
import { JoinTokens } from './JoinTokens';
import { LoginList } from './LoginList';

export function Access() {
  const [view] = useAddress<'tab'>();
  const navigate = useNavigate();
  if (!useRole('admin'))
    return (
      <Page title="Access">
        <Alert
          type="info"
          showIcon
          title="Only administrators see tokens and the audit log."
          description="Sign in with a token that has the role admin."
        />
      </Page>
    );
  return (
    <Page title="Access">
      <Tabs
        activeKey={view.tab ?? 'api'}
        onChange={(tab) => void navigate({ to: '/access', search: tab === 'api' ? {} : { tab } })}
        destroyOnHidden
        items={[
          { key: 'api', label: 'API tokens', children: <ApiTokens /> },
          { key: 'join', label: 'Join tokens', children: <JoinTokens /> },
          { key: 'logins', label: 'Signed in', children: <LoginList /> },
          { key: 'audit', label: 'Audit log', children: <Audit /> },
        ]}
      />
    </Page>
  );
}
