import { Fieldset, SimpleGrid, Stack, Text, Textarea } from '@mantine/core';
import { api, ifMatch, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { FormFoot } from '@/parts/FormFoot';
import { ChoiceField, NumberField, OctetsField, TextField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { PolicyFields } from '@/parts/PolicyFields';
import { Section } from '@/parts/Section';
import { t } from '@/text';

const words = t.tenants;
const policy = t.policy;

const claims = (['email', 'sub', 'preferred_username'] as const).map((value) => ({ value, label: value }));

export function TenantSettings({ tenant, etag }: { tenant: Schemas['Tenant']; etag: string | undefined }) {
  const may = useMay();
  const writes = may('tenants:write');
  const form = useForm<Schemas['TenantPatch']>({
    base: tenant,
    send: (body) =>
      take(api.PATCH('/v1/tenants/{slug}', { params: { path: { slug: tenant.slug }, header: ifMatch(etag) }, body })),
    refresh: ['tenants'],
    done: () => told(t.common.saved),
  });
  const clientCa = form.field('/policy/client_ca');
  return (
    <form onSubmit={form.submit}>
      <Fieldset variant="unstyled" disabled={!writes}>
        <Stack>
          <Section title={words.quota}>
            <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="sm">
              <TextField field={form.field('/name')} label={words.name} />
              <OctetsField field={form.field('/quota/octets')} label={words.quotaOctets} />
              <NumberField field={form.field('/quota/messages')} label={words.quotaMessages} />
              <NumberField field={form.field('/quota/accounts')} label={words.quotaAccounts} />
              <NumberField field={form.field('/quota/domains')} label={words.quotaDomains} />
              <NumberField field={form.field('/quota/deliveries_per_hour')} label={words.quotaDeliveries} />
            </SimpleGrid>
            <Text size="sm" c="dimmed" mt="xs">
              {t.common.unlimitedHint}
            </Text>
          </Section>
          <Section title={policy.title}>
            <Text size="sm" c="dimmed" mb="sm">
              {policy.hint}
            </Text>
            <Stack gap="sm">
              <PolicyFields form={form} level="tenant" />
              <Textarea
                label={policy.clientCa}
                name={clientCa.name}
                rows={3}
                value={clientCa.value ?? ''}
                error={clientCa.error}
                onChange={(event) => clientCa.onChange(event.currentTarget.value || null)}
                spellCheck={false}
              />
              <Fieldset legend={policy.oauth} disabled={!writes}>
                <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="sm">
                  <TextField field={form.field('/policy/oauth/issuer')} label={policy.oauthIssuer} empty={null} />
                  <TextField field={form.field('/policy/oauth/audience')} label={policy.oauthAudience} empty={null} />
                  <TextField field={form.field('/policy/oauth/jwks_uri')} label={policy.oauthJwks} empty={null} />
                  <TextField field={form.field('/policy/oauth/scope')} label={policy.oauthScope} empty={null} />
                  <ChoiceField
                    field={form.field('/policy/oauth/address_claim')}
                    label={policy.oauthClaim}
                    options={claims}
                  />
                </SimpleGrid>
              </Fieldset>
            </Stack>
            {writes && <FormFoot form={form} />}
          </Section>
        </Stack>
      </Fieldset>
    </form>
  );
}
