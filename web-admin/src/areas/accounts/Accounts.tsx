import { Stack } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay, useMe, usePlatform } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { FormFoot } from '@/parts/FormFoot';
import { FormModal } from '@/parts/FormModal';
import { OctetsField, TextField } from '@/parts/fields';
import { TextLink } from '@/parts/links';
import { told } from '@/parts/notify';
import { Octets } from '@/parts/Octets';
import { PageHead } from '@/parts/PageHead';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { StatusBadge } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.accounts;

type Account = Schemas['Account'];

const address: Column<Account> = {
  title: words.address,
  main: true,
  sort: 'address',
  cell: (account) => (
    <TextLink to="/accounts/$address" params={{ address: account.address }}>
      {account.address}
    </TextLink>
  ),
};
const tenant: Column<Account> = { title: t.common.tenant, cell: (account) => account.tenant };
const others: Column<Account>[] = [
  { title: t.common.status, cell: ({ status }) => <StatusBadge status={status} /> },
  { title: words.quota, right: true, cell: ({ quota }) => <Octets value={quota.octets} /> },
  { title: t.common.created, sort: 'created_at', right: true, cell: ({ created_at }) => <Time at={created_at} /> },
];

const statuses = (['active', 'suspended', 'deleted'] as const).map((value) => ({ value, label: t.common[value] }));

function NewAccount({ close }: { close: () => void }) {
  const navigate = useNavigate();
  const form = useForm<Schemas['AccountNew']>({
    send: async (body) => {
      const made = await take(api.POST('/v1/accounts', { body }));
      told(words.made);
      close();
      await navigate({ to: '/accounts/$address', params: { address: made.address }, search: { tab: 'credentials' } });
    },
    refresh: ['accounts'],
  });
  return (
    <form onSubmit={form.submit}>
      <Stack gap="sm">
        <TextField field={form.field('/address')} label={words.address} inputMode="email" required />
        <TextField
          field={form.field('/password')}
          label={words.password}
          hint={words.passwordHint}
          password
          empty={null}
          autoComplete="new-password"
        />
        <OctetsField field={form.field('/quota/octets')} label={words.quotaOctets} hint={t.common.unlimitedHint} />
      </Stack>
      <FormFoot form={form} label={t.common.create} always />
    </form>
  );
}

export function Page() {
  const may = useMay();
  const me = useMe();
  const platform = usePlatform();
  return (
    <>
      <PageHead title={words.title} />
      <ResourceList
        label={words.title}
        queryKey={['accounts']}
        fetch={({ limit, cursor, order, filters: { prefix, domain, tenant: of = me.tenant ?? undefined, status } }) =>
          take(
            api.GET('/v1/accounts', {
              params: {
                query: { limit, cursor, ...order, prefix, domain, tenant: of, status: status as Account['status'] },
              },
            }),
          )
        }
        columns={platform ? [address, tenant, ...others] : [address, ...others]}
        rowKey={(account) => account.address}
        filters={[
          { key: 'domain', label: t.common.domain },
          ...(platform ? [{ key: 'tenant', label: t.common.tenant }] : []),
          {
            key: 'prefix',
            label: words.begins,
            ...(platform ? { needs: ['domain', 'tenant'], needsHint: t.common.list.needsDomainOrTenant } : {}),
          },
          { key: 'status', label: t.common.status, options: statuses },
        ]}
        sorts={sortsOf('/v1/accounts')}
        empty={words.empty}
        actions={
          may('accounts:write') && <FormModal label={words.new}>{(close) => <NewAccount close={close} />}</FormModal>
        }
      />
    </>
  );
}
