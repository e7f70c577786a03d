import { Stack, Text } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { usePlatform } from '@/client/me';
import { FormFoot } from '@/parts/FormFoot';
import { TextField } from '@/parts/fields';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { Section } from '@/parts/Section';
import { TenantField } from '@/parts/TenantField';
import { t } from '@/text';
import { EventsField } from './EventsField';
import { WebhookSecret } from './WebhookSecret';

const words = t.webhooks;

export function Page() {
  const platform = usePlatform();
  const navigate = useNavigate();
  const [made, setMade] = useState<Schemas['WebhookIssued'] | null>(null);
  const form = useForm<Schemas['WebhookNew']>({
    start: { '/events': [] },
    send: async (body) => setMade(await take(api.POST('/v1/webhooks', { body }))),
    refresh: ['webhooks'],
  });
  return (
    <>
      <PageHead
        title={words.new}
        trail={[
          <TextLink key="list" to="/webhooks">
            {words.title}
          </TextLink>,
        ]}
      />
      <Section title={t.common.details}>
        <form onSubmit={form.submit}>
          <Stack gap="sm" maw={720}>
            <Text size="sm">{words.about}</Text>
            <TextField field={form.field('/url')} label={words.url} hint={words.urlHint} required inputMode="url" />
            <TextField field={form.field('/description')} label={words.description} empty={null} />
            {platform && <TenantField field={form.field('/tenant')} hint={words.tenantHint} />}
            <EventsField field={form.field('/events')} />
          </Stack>
          <FormFoot form={form} label={t.common.create} always />
        </form>
      </Section>
      <WebhookSecret shown={made} onClose={() => made && navigate({ to: '/webhooks/$id', params: { id: made.id } })} />
    </>
  );
}
