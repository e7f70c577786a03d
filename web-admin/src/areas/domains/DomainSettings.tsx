import { Fieldset, SimpleGrid, Stack, Text } from '@mantine/core';
import { api, ifMatch, type Schemas, take } from '@/client/api';
import { type Form, useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { FormFoot } from '@/parts/FormFoot';
import { NumberField, OctetsField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { PolicyFields } from '@/parts/PolicyFields';
import { Section } from '@/parts/Section';
import { t } from '@/text';

export function DomainSettings({ domain, etag }: { domain: Schemas['Domain']; etag: string | undefined }) {
  const writes = useMay()('domains:write');
  const form = useForm<Schemas['DomainPatch']>({
    base: domain,
    send: (body) =>
      take(
        api.PATCH('/v1/domains/{name}', {
          params: { path: { name: domain.name }, query: { tenant: domain.tenant }, header: ifMatch(etag) },
          body,
        }),
      ),
    refresh: ['domains'],
    done: () => told(t.common.saved),
  });
  return (
    <form onSubmit={form.submit}>
      <Fieldset variant="unstyled" disabled={!writes}>
        <Stack>
          <Section title={t.domains.quota}>
            <SimpleGrid cols={{ base: 1, sm: 2, lg: 4 }} spacing="sm">
              <OctetsField field={form.field('/quota/octets')} label={t.tenants.quotaOctets} />
              <NumberField field={form.field('/quota/messages')} label={t.tenants.quotaMessages} />
              <NumberField field={form.field('/quota/accounts')} label={t.tenants.quotaAccounts} />
              <NumberField field={form.field('/quota/deliveries_per_hour')} label={t.tenants.quotaDeliveries} />
            </SimpleGrid>
            <Text size="sm" c="dimmed" mt="xs">
              {t.common.unlimitedHint}
            </Text>
          </Section>
          <Section title={t.policy.title}>
            <Text size="sm" c="dimmed" mb="sm">
              {t.policy.hint}
            </Text>
            <PolicyFields form={form as unknown as Form<Schemas['TenantPatch']>} level="domain" />
            {writes && <FormFoot form={form} />}
          </Section>
        </Stack>
      </Fieldset>
    </form>
  );
}
