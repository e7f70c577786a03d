import { Stack } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay } from '@/client/me';
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

const words = t.tenants;

type Tenant = Schemas['Tenant'];

const columns: Column<Tenant>[] = [
  {
    title: words.slug,
    main: true,
    sort: 'slug',
    cell: ({ slug }) => (
      <TextLink to="/tenants/$slug" params={{ slug }}>
        {slug}
      </TextLink>
    ),
  },
  { title: words.name, cell: ({ name }) => name },
  { title: t.common.status, cell: ({ status }) => <StatusBadge status={status} /> },
  { title: words.quotaOctets, right: true, cell: ({ quota }) => <Octets value={quota.octets} /> },
  { title: t.common.created, sort: 'created_at', right: true, cell: ({ created_at }) => <Time at={created_at} /> },
];

const statuses = (['active', 'suspended', 'deleted'] as const).map((value) => ({ value, label: t.common[value] }));

function NewTenant({ close }: { close: () => void }) {
  const navigate = useNavigate();
  const form = useForm<Schemas['TenantNew']>({
    send: async (body) => {
      const { slug } = await take(api.POST('/v1/tenants', { body }));
      told(words.made);
      close();
      await navigate({ to: '/tenants/$slug', params: { slug } });
    },
    refresh: ['tenants'],
  });
  return (
    <form onSubmit={form.submit}>
      <Stack gap="sm">
        <TextField field={form.field('/slug')} label={words.slug} hint={words.slugHint} required />
        <TextField field={form.field('/name')} label={words.name} required />
        <OctetsField field={form.field('/quota/octets')} label={words.quotaOctets} hint={t.common.unlimitedHint} />
      </Stack>
      <FormFoot form={form} label={t.common.create} always />
    </form>
  );
}

export function Page() {
  const may = useMay();
  return (
    <>
      <PageHead title={words.title} />
      <ResourceList
        label={words.list}
        queryKey={['tenants']}
        fetch={({ limit, cursor, order, filters }) =>
          take(
            api.GET('/v1/tenants', {
              params: {
                query: { limit, cursor, ...order, prefix: filters.prefix, status: filters.status as Tenant['status'] },
              },
            }),
          )
        }
        columns={columns}
        rowKey={({ slug }) => slug}
        filters={[
          { key: 'prefix', label: words.begins },
          { key: 'status', label: t.common.status, options: statuses },
        ]}
        sorts={sortsOf('/v1/tenants')}
        empty={words.empty}
        actions={
          may('tenants:write') && <FormModal label={words.new}>{(close) => <NewTenant close={close} />}</FormModal>
        }
      />
    </>
  );
}
