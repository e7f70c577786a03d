import { Fieldset, SimpleGrid, Textarea } from '@mantine/core';
import { api, ifMatch, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { ChoiceField, NumberField, OctetsField, TextField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { SettingsForm } from '@/parts/SettingsForm';
import { t } from '@/text';

const words = t.tenants;
const policy = t.policy;

const claims = (['email', 'sub', 'preferred_username'] as const).map((value) => ({ value, label: value }));

export function TenantSettings({ tenant, etag }: { tenant: Schemas['Tenant']; etag: string | undefined }) {
  const writes = useMay()('tenants:write');
  const form = useForm<Schemas['TenantPatch']>({
    base: tenant,
    send: (body) =>
      take(api.PATCH('/v1/tenants/{slug}', { params: { path: { slug: tenant.slug }, header: ifMatch(etag) }, body })),
    refresh: ['tenants'],
    done: () => told(t.common.saved),
  });
  const clientCa = form.field('/policy/client_ca');
  return (
    <SettingsForm
      form={form}
      level="tenant"
      writes={writes}
      title={words.quota}
      columns={{ base: 1, sm: 2, lg: 3 }}
      quota={
        <>
          <TextField field={form.field('/name')} label={words.name} />
          <OctetsField field={form.field('/quota/octets')} label={words.quotaOctets} />
          <NumberField field={form.field('/quota/messages')} label={words.quotaMessages} />
          <NumberField field={form.field('/quota/accounts')} label={words.quotaAccounts} />
          <NumberField field={form.field('/quota/domains')} label={words.quotaDomains} />
          <NumberField field={form.field('/quota/deliveries_per_hour')} label={words.quotaDeliveries} />
        </>
      }
    >
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
          <ChoiceField field={form.field('/policy/oauth/address_claim')} label={policy.oauthClaim} options={claims} />
        </SimpleGrid>
      </Fieldset>
    </SettingsForm>
  );
}
