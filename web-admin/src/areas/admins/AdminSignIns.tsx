import { Group, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { DestroyButton } from '@/parts/DestroyButton';
import { told } from '@/parts/notify';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { Mark } from '@/parts/StatusBadge';
import { exactly, Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.profile;

type SignIn = Schemas['SignInSession'];

/** Somebody's sign-ins under way. */
export function AdminSignIns({ admin }: { admin: Schemas['Admin'] }) {
  const may = useMay();
  const queries = useQueryClient();
  const end = (item: SignIn) => (
    <DestroyButton
      size="compact-sm"
      verb={words.end}
      label={words.endLabel(exactly(item.began_at))}
      title={t.admins.endTitle(admin.name)}
      target={admin.name}
      trial={() =>
        takeTrial(api.DELETE('/v1/sessions/{id}', { params: { path: { id: item.id }, query: { dry_run: true } } }))
      }
      act={() => take(api.DELETE('/v1/sessions/{id}', { params: { path: { id: item.id } } }))}
      done={() => {
        told(words.ended);
        void queries.invalidateQueries({ queryKey: ['sessions'] });
      }}
    >
      <Text>{t.admins.endDetail(exactly(item.began_at))}</Text>
    </DestroyButton>
  );
  const columns: Column<SignIn>[] = [
    {
      title: words.began,

      main: true,
      cell: (item) => (
        <Group gap="xs">
          <Time at={item.began_at} />
          {item.current && <Mark tone="busy">{words.current}</Mark>}
        </Group>
      ),
    },
    { title: words.method, cell: (item) => words.methods[item.method] },
    { title: words.address, cell: (item) => item.address ?? '–' },
    { title: words.client, cell: (item) => <Text size="sm">{item.client ?? '–'}</Text> },
    { title: words.lastUsed, cell: (item) => <Time at={item.refreshed_at} /> },
    { title: words.ends, cell: (item) => <Time at={item.ends_at} /> },
    ...(may('admins:write')
      ? [{ title: words.end, quiet: true, right: true, cell: (item: SignIn) => !item.current && end(item) }]
      : []),
  ];
  return (
    <Section title={t.admins.signIns}>
      <ResourceList
        label={t.admins.signIns}
        queryKey={['sessions', admin.id]}
        fetch={({ limit, cursor, order }) =>
          take(api.GET('/v1/sessions', { params: { query: { limit, cursor, admin: admin.id, ...order } } }))
        }
        columns={columns}
        rowKey={(item) => item.id}
        sorts={sortsOf('/v1/sessions')}
      />
    </Section>
  );
}
