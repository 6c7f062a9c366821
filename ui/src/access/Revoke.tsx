/** The button that ends a right, after a question. */
import { App, Button } from 'antd';
import { useAction } from '../kit/actions';

export function Revoke({
  what,
  word = 'Revoke',
  request,
}: {
  what: string;
  word?: string;
  request: () => Promise<unknown>;
}) {
  const [act, busy] = useAction();
  const { modal } = App.useApp();
  const ask = () =>
    modal.confirm({
      title: `${word} ${what}?`,
      okText: word,
      okButtonProps: { danger: true },
      onOk: () => act(request, 'It is done.'),
    });
  return (
    <Button danger size="small" loading={busy} aria-label={`${word} ${what}`} onClick={ask}>
      {word}
    </Button>
  );
}
