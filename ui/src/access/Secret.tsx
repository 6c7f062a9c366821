/** A secret that is shown once, with the command in which it is used. */
import { Alert, Modal, Typography } from 'antd';
import { Line } from '../kit/bits';

export function Secret({
  title,
  token,
  line,
  close,
}: {
  title: string;
  token: string;
  line?: string;
  close: () => void;
}) {
  return (
    <Modal
      open
      title={title}
      onCancel={close}
      onOk={close}
      cancelButtonProps={{ style: { display: 'none' } }}
      okText="I have it"
    >
      <Alert type="warning" showIcon title="It is shown only now." style={{ marginBottom: 12 }} />
      {line && <Typography.Paragraph>Run this on the new host:</Typography.Paragraph>}
      <Line text={line ?? token} />
    </Modal>
  );
}
