import { Button, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, ifMatch, type Schemas, take, takeTrial, type Versioned } from '@/client/api';
import { DestroyButton } from '@/parts/DestroyButton';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';
import { WebhookSecret } from './WebhookSecret';

const words = t.webhooks;

export function WebhookActions({ got: { value: webhook, etag } }: { got: Versioned<Schemas['Webhook']> }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [issued, setIssued] = useState<Schemas['WebhookIssued'] | null>(null);
  const path = { id: webhook.id };
  const params = { path, header: ifMatch(etag) };
  const trial = { ...params, query: { dry_run: true } };
  const again = () => queries.invalidateQueries({ queryKey: ['webhooks'] });
  const done = async (message: string) => {
    told(message);
    await again();
  };
  const test = useMutation({
    mutationFn: () => take(api.POST('/v1/webhooks/{id}/test', { params: { path } })),
    onSuccess: () => done(words.tested),
  });
  const on = useMutation({
    mutationFn: () => take(api.PATCH('/v1/webhooks/{id}', { params, body: { enabled: true } })),
    onSuccess: () => done(words.switchedOn),
    onError: again,
  });
  return (
    <>
      <Button variant="default" loading={test.isPending} onClick={() => test.mutate()}>
        {words.test}
      </Button>
      <DestroyButton
        verb={words.rotate}
        title={words.rotateTitle}
        target={webhook.id}
        trial={() => takeTrial(api.POST('/v1/webhooks/{id}/rotate-secret', { params: trial }))}
        act={async () => setIssued(await take(api.POST('/v1/webhooks/{id}/rotate-secret', { params })))}
        done={again}
      >
        <Text>{words.rotateDetail}</Text>
      </DestroyButton>
      {webhook.enabled ? (
        <DestroyButton
          verb={words.switchOff}
          title={words.switchOffTitle}
          target={webhook.id}
          trial={() => takeTrial(api.PATCH('/v1/webhooks/{id}', { params: trial, body: { enabled: false } }))}
          act={() => take(api.PATCH('/v1/webhooks/{id}', { params, body: { enabled: false } }))}
          done={() => done(words.switchedOff)}
        >
          <Text>{words.switchOffDetail}</Text>
        </DestroyButton>
      ) : (
        <Button variant="default" loading={on.isPending} onClick={() => on.mutate()}>
          {words.switchOn}
        </Button>
      )}
      <DestroyButton
        verb={words.delete}
        title={words.deleteTitle}
        target={webhook.id}
        trial={() => takeTrial(api.DELETE('/v1/webhooks/{id}', { params: trial }))}
        act={() => take(api.DELETE('/v1/webhooks/{id}', { params }))}
        done={async () => {
          await navigate({ to: '/webhooks' });
          queries.removeQueries({ queryKey: ['webhooks', webhook.id] });
          await done(words.deleted);
        }}
      >
        <Text>{words.deleteDetail}</Text>
      </DestroyButton>
      <ProblemAlert error={test.error ?? on.error} />
      <WebhookSecret shown={issued} onClose={() => setIssued(null)} />
    </>
  );
}
