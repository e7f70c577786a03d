import { Stack, Text } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay, usePlatform } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { FormFoot } from '@/parts/FormFoot';
import { FormModal } from '@/parts/FormModal';
import { LinesField, TextField } from '@/parts/fields';
import { TextLink } from '@/parts/links';
import { told } from '@/parts/notify';
import { PageHead } from '@/parts/PageHead';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Mark } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.aliases;

type Alias = Schemas['Alias'];

const columns: Column<Alias>[] = [
  {
    title: words.address,
    main: true,
    sort: 'address',
    cell: ({ address }) => (
      <>
        <TextLink to="/aliases/$address" params={{ address }}>
          {address}
        </TextLink>{' '}
        {address.startsWith('*@') && <Mark tone="busy">{words.catchAll}</Mark>}
      </>
    ),
  },
  {
    title: words.targets,
    cell: ({ targets }) => (
      <Text size="sm" className="wrap">
        {targets.join(', ')}
      </Text>
    ),
  },
  { title: t.common.created, sort: 'created_at', right: true, cell: ({ created_at }) => <Time at={created_at} /> },
];

function NewAlias({ close }: { close: () => void }) {
  const navigate = useNavigate();
  const form = useForm<Schemas['AliasNew']>({
    send: async (body) => {
      const { address } = await take(api.POST('/v1/aliases', { body }));
      told(words.made);
      close();
      await navigate({ to: '/aliases/$address', params: { address } });
    },
    refresh: ['aliases'],
  });
  return (
    <form onSubmit={form.submit}>
      <Stack gap="sm">
        <TextField field={form.field('/address')} label={words.address} hint={words.addressHint} required />
        <LinesField field={form.field('/targets')} label={words.targets} hint={words.targetsHint} required />
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
        queryKey={['aliases']}
        fetch={({ limit, cursor, order, filters: { prefix, domain, tenant } }) =>
          take(api.GET('/v1/aliases', { params: { query: { limit, cursor, ...order, prefix, domain, tenant } } }))
        }
        columns={columns}
        rowKey={({ address }) => address}
        filters={[
          { key: 'domain', label: t.common.domain },
          ...(platform ? [{ key: 'tenant', label: t.common.tenant }] : []),
          { key: 'prefix', label: words.begins, needs: ['domain'], needsHint: t.common.list.needsDomain },
        ]}
        sorts={sortsOf('/v1/aliases')}
        empty={words.empty}
        actions={
          may('aliases:write') && <FormModal label={words.new}>{(close) => <NewAlias close={close} />}</FormModal>
        }
      />
    </>
  );
}
