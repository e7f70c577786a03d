import { Stack } from '@mantine/core';
import { api, ifMatch, type Schemas, take } from '@/client/api';
import { type Form, useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { NumberField, OctetsField } from '@/parts/fields';
import { Life } from '@/parts/Life';
import { told } from '@/parts/notify';
import { SettingsForm } from '@/parts/SettingsForm';
import { t } from '@/text';
import type { TabProps } from './Account';

const words = t.accounts;

export default function Settings({ account, etag }: TabProps) {
  const writes = useMay()('accounts:write');
  const path = { address: account.address };
  const params = { path, header: ifMatch(etag) };
  const form = useForm<Schemas['AccountPatch']>({
    base: account,
    send: (body) => take(api.PATCH('/v1/accounts/{address}', { params, body })),
    refresh: ['accounts'],
    done: () => told(t.common.saved),
  });
  const become = (status: 'active' | 'suspended', dry_run?: true) =>
    api.PATCH('/v1/accounts/{address}', { params: { ...params, query: { dry_run } }, body: { status } });
  return (
    <Stack>
      {account.status !== 'deleted' && (
        <SettingsForm
          form={form as unknown as Form<Schemas['TenantPatch']>}
          level="account"
          writes={writes}
          title={words.quota}
          columns={{ base: 1, sm: 3 }}
          quota={
            <>
              <OctetsField field={form.field('/quota/octets')} label={words.quotaOctets} />
              <NumberField field={form.field('/quota/messages')} label={words.quotaMessages} />
              <NumberField field={form.field('/quota/deliveries_per_hour')} label={words.quotaDeliveries} />
            </>
          }
        />
      )}
      {writes && (
        <Life
          title={words.state}
          words={words}
          status={account.status}
          target={account.address}
          list={{ key: 'accounts', to: '/accounts' }}
          suspension={{ words, suspend: (dry_run) => become('suspended', dry_run), resume: () => become('active') }}
          remove={(cascade, dry_run) =>
            api.DELETE('/v1/accounts/{address}', { params: { ...params, query: { cascade, dry_run } } })
          }
          restore={() => api.POST('/v1/accounts/{address}/restore', { params: { path } })}
        />
      )}
    </Stack>
  );
}
