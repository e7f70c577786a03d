import { Alert, Button, Code, Group, Modal, Stack, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { t } from '@/text';
import { CopyButton } from './CopyButton';
import { download } from './download';
import { Icon } from './Icon';

interface Props {
  title: string;
  /** What was made, while it is to be shown. The secret is missing where its answer was lost and asked for again. */
  shown: { secret: string | null | undefined } | null;
  onClose: () => void;
  fileName: string;
  label?: string;
  /** What to do with it. */
  children?: ReactNode;
}

/** A secret, this once. It is not closed by a slip: neither Esc nor a click beside it does. */
export function SecretOnce({ title, shown, onClose, fileName, label = t.common.secret.label, children }: Props) {
  const secret = shown?.secret;
  return (
    <Modal
      opened={shown !== null}
      onClose={onClose}
      title={title}
      size="lg"
      closeOnClickOutside={false}
      closeOnEscape={false}
      withCloseButton={false}
    >
      <Stack>
        {secret ? (
          <>
            <Alert color="orange" icon={<Icon name="warning" />} title={t.common.secret.once} />
            <div>
              <Text size="sm" fw={500} mb={4}>
                {label}
              </Text>
              <Code block className="wrap" fz="md" data-secret>
                {secret}
              </Code>
            </div>
            <Group gap="xs">
              <CopyButton text={secret} of={label} />
              <Button
                size="xs"
                variant="default"
                leftSection={<Icon name="download" size={14} />}
                onClick={() => download(fileName, `${secret}\n`)}
              >
                {t.common.download}
              </Button>
            </Group>
            {children}
          </>
        ) : (
          <Alert color="red" icon={<Icon name="warning" />} title={t.common.secret.lost} />
        )}
        <Group justify="flex-end">
          <Button onClick={onClose}>{secret ? t.common.secret.kept : t.common.close}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
