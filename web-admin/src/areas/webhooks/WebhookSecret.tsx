import { Text } from '@mantine/core';
import type { Schemas } from '@/client/api';
import { SecretOnce } from '@/parts/SecretOnce';
import { t } from '@/text';

const words = t.webhooks;

export function WebhookSecret({ shown, onClose }: { shown: Schemas['WebhookIssued'] | null; onClose: () => void }) {
  return (
    <SecretOnce
      title={words.secretTitle}
      fileName="restante-webhook-secret.txt"
      shown={shown && { secret: shown.secret }}
      onClose={onClose}
    >
      <Text size="sm">{words.secretHint}</Text>
    </SecretOnce>
  );
}
