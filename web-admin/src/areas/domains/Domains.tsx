import { Stack } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useAddress } from '@/app/search';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay, usePlatform } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { FormFoot } from '@/parts/FormFoot';
import { FormModal } from '@/parts/FormModal';
import { TextField } from '@/parts/fields';
import { TextLink } from '@/parts/links';
import { told } from '@/parts/notify';
import { PageHead } from '@/parts/PageHead';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Mark, StatusBadge } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.domains;

type Domain = Schemas['Domain'];

export function DomainMark({ domain }: { domain: Domain }) {
  if (domain.deleted_at) return <StatusBadge status="deleted" />;
  return domain.verified ? <Mark tone="good">{words.verified}</Mark> : <Mark tone="warn">{words.claimed}</Mark>;
}

const name: Column<Domain> = {
  title: words.name,
  main: true,
  sort: 'name',
  // A name can be claimed by several tenants: the page is told whose.
  cell: (domain) => (
    <TextLink to="/domains/$name" params={{ name: domain.name }} search={{ tenant: domain.tenant }}>
      {domain.name}
    </TextLink>
  ),
};
const tenant: Column<Domain> = { title: words.tenant, cell: (domain) => domain.tenant };
const others: Column<Domain>[] = [
  { title: words.state, cell: (domain) => <DomainMark domain={domain} /> },
  { title: t.common.created, sort: 'created_at', right: true, cell: ({ created_at }) => <Time at={created_at} /> },
];

function NewDomain({ close }: { close: () => void }) {
  const platform = usePlatform();
  const navigate = useNavigate();
  const [search] = useAddress();
  const form = useForm<Schemas['DomainNew']>({
    start: platform && search.tenant ? { '/tenant': search.tenant } : {},
    send: async (body) => {
      const made = await take(api.POST('/v1/domains', { body }));
      told(words.made);
      close();
      await navigate({ to: '/domains/$name', params: { name: made.name }, search: { tenant: made.tenant } });
    },
    refresh: ['domains'],
  });
  return (
    <form onSubmit={form.submit}>
      <Stack gap="sm">
        <TextField field={form.field('/name')} label={words.name} required />
        {platform && <TextField field={form.field('/tenant')} label={words.tenant} hint={words.tenantHint} required />}
      </Stack>
      <FormFoot form={form} label={t.common.create} always />
    </form>
  );
}

export function Page() {
  const may = useMay();
  const platform = usePlatform();
  return (
    <>
      <PageHead title={words.title} />
      <ResourceList
        label={words.title}
        queryKey={['domains']}
        fetch={({ limit, cursor, order, filters }) =>
          take(
            api.GET('/v1/domains', {
              params: {
                query: {
                  limit,
                  cursor,
                  ...order,
                  prefix: filters.prefix,
                  tenant: filters.tenant,
                  verified: filters.verified === undefined ? undefined : filters.verified === 'true',
                  status: filters.status as 'active' | 'deleted' | undefined,
                },
              },
            }),
          )
        }
        columns={platform ? [name, tenant, ...others] : [name, ...others]}
        rowKey={(domain) => `${domain.tenant}/${domain.name}`}
        filters={[
          { key: 'prefix', label: words.begins },
          ...(platform ? [{ key: 'tenant', label: words.tenant }] : []),
          {
            key: 'verified',
            label: words.state,
            options: [
              { value: 'true', label: words.verified },
              { value: 'false', label: words.claimed },
            ],
          },
          {
            key: 'status',
            label: t.common.status,
            options: [
              { value: 'active', label: t.common.active },
              { value: 'deleted', label: t.common.deleted },
            ],
          },
        ]}
        sorts={sortsOf('/v1/domains')}
        empty={words.empty}
        actions={
          may('domains:write') && <FormModal label={words.new}>{(close) => <NewDomain close={close} />}</FormModal>
        }
      />
    </>
  );
}
