import { Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { api, read } from '@/client/api';
import { useMay, useMe } from '@/client/me';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { StatusBadge } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { AdminActions } from './AdminActions';
import { AdminForm } from './AdminForm';
import { AdminPassword } from './AdminPassword';
import { AdminSignIns } from './AdminSignIns';
import { proofOf } from './Admins';

const words = t.admins;

export function Page() {
  const { id } = useParams({ from: '/in/admins/$id' });
  const may = useMay();
  const me = useMe();
  const got = useQuery({
    queryKey: ['admins', id],
    queryFn: () => read(api.GET('/v1/admins/{id}', { params: { path: { id } } })),
  });
  if (got.isError) return <ProblemAlert error={got.error} retry={() => got.refetch()} />;
  if (!got.data) return <Loading />;
  const admin = got.data.value;
  const self = me.id === admin.id;
  const write = may('admins:write');
  return (
    <>
      <PageHead
        title={admin.name}
        trail={[
          <TextLink key="list" to="/admins">
            {words.title}
          </TextLink>,
        ]}
        badge={<StatusBadge status={admin.status} />}
        actions={write && !self && <AdminActions got={got.data} />}
      />
      <Stack>
        <Section title={t.common.details}>
          <Facts
            of={[
              [words.displayName, admin.display_name],
              [t.common.tenant, admin.tenant ?? t.shell.platform],
              [words.role, t.shell.roles[admin.role]],
              ...(admin.role === 'domain-admin'
                ? [[words.domains, admin.domains.join(', ') || t.common.none] as const]
                : []),
              [words.signsIn, proofOf(admin)],
              [words.signedIn, <Time key="s" at={admin.signed_in_at} />],
              [t.common.created, <Time key="c" at={admin.created_at} exact />],
            ]}
          />
          {may('audit:read') && (
            <Group mt="sm">
              <TextLink to="/audit" search={{ actor: admin.id.replace('adm_', 'admin:') }} size="sm">
                {words.doings}
              </TextLink>
            </Group>
          )}
        </Section>
        {self && <Text>{words.self}</Text>}
        {write && !self && (
          <SimpleGrid cols={{ base: 1, md: 2 }}>
            <AdminForm got={got.data} />
            <AdminPassword got={got.data} />
          </SimpleGrid>
        )}
        <AdminSignIns admin={admin} />
      </Stack>
    </>
  );
}
