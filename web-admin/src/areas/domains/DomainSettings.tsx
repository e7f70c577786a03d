import { api, ifMatch, type Schemas, take } from '@/client/api';
import { type Form, useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { NumberField, OctetsField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { SettingsForm } from '@/parts/SettingsForm';
import { t } from '@/text';

export function DomainSettings({ domain, etag }: { domain: Schemas['Domain']; etag: string | undefined }) {
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
    <SettingsForm
      form={form as unknown as Form<Schemas['TenantPatch']>}
      level="domain"
      writes={useMay()('domains:write')}
      title={t.domains.quota}
      columns={{ base: 1, sm: 2, lg: 4 }}
      quota={
        <>
          <OctetsField field={form.field('/quota/octets')} label={t.tenants.quotaOctets} />
          <NumberField field={form.field('/quota/messages')} label={t.tenants.quotaMessages} />
          <NumberField field={form.field('/quota/accounts')} label={t.tenants.quotaAccounts} />
          <NumberField field={form.field('/quota/deliveries_per_hour')} label={t.tenants.quotaDeliveries} />
        </>
      }
    />
  );
}
