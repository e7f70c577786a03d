import { Alert, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { api, ifMatch, read, type Schemas, take, type Versioned } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { FormFoot } from '@/parts/FormFoot';
import { TextField } from '@/parts/fields';
import { Icon } from '@/parts/Icon';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { told } from '@/parts/notify';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { Deliveries } from './Deliveries';
import { EventsField } from './EventsField';
import { WebhookActions } from './WebhookActions';
import { WebhookMark } from './Webhooks';

const words = t.webhooks;

export function Page() {
  const { id } = useParams({ from: '/in/webhooks/$id' });
  const write = useMay()('webhooks:write');
  const got = useQuery({
    queryKey: ['webhooks', id],
    queryFn: () => read(api.GET('/v1/webhooks/{id}', { params: { path: { id } } })),
  });
  if (got.isError) return <ProblemAlert error={got.error} retry={() => got.refetch()} />;
  if (!got.data) return <Loading />;
  const webhook = got.data.value;
  return (
    <>
      <PageHead
        title={webhook.description || webhook.url}
        trail={[
          <TextLink key="list" to="/webhooks">
            {words.title}
          </TextLink>,
        ]}
        badge={<WebhookMark webhook={webhook} />}
        actions={write && <WebhookActions got={got.data} />}
      />
      <Stack>
        {!webhook.enabled && <Alert color="orange" icon={<Icon name="warning" />} title={words.offDetail} />}
        <Section title={t.common.details}>
          <Facts
            of={[
              [words.url, webhook.url],
              [t.common.tenant, webhook.tenant ?? t.common.all],
              [words.events, webhook.events.join(', ')],
              [t.common.created, <Time key="c" at={webhook.created_at} exact />],
              webhook.failing_since
                ? ([words.failingSince, <Time key="f" at={webhook.failing_since} exact />] as const)
                : ([t.common.status, words.working] as const),
              ...(webhook.old_secret_until
                ? [[words.oldSecret, <Time key="o" at={webhook.old_secret_until} exact />] as const]
                : []),
            ]}
          />
        </Section>
        <Section title={words.deliveries}>
          <Deliveries webhook={webhook.id} />
        </Section>
        {write && <WebhookForm got={got.data} />}
      </Stack>
    </>
  );
}

function WebhookForm({ got: { value: webhook, etag } }: { got: Versioned<Schemas['Webhook']> }) {
  const form = useForm<Schemas['WebhookPatch']>({
    base: webhook,
    send: (body) => {
      const params = { path: { id: webhook.id }, header: ifMatch(etag) };
      return take(api.PATCH('/v1/webhooks/{id}', { params, body }));
    },
    refresh: ['webhooks'],
    done: () => told(t.common.saved),
  });
  return (
    <Section title={words.change}>
      <form onSubmit={form.submit}>
        <Stack gap="sm" maw={720}>
          <TextField field={form.field('/url')} label={words.url} hint={words.urlHint} required inputMode="url" />
          <TextField field={form.field('/description')} label={words.description} empty={null} />
          <EventsField field={form.field('/events')} />
        </Stack>
        <FormFoot form={form} />
      </form>
    </Section>
  );
}
