import { Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { signInColumns } from '@/areas/profile/sign-ins';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { DestroyButton } from '@/parts/DestroyButton';
import { told } from '@/parts/notify';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { exactly } from '@/parts/Time';
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
    ...signInColumns,
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
