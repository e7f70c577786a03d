import { Group, SimpleGrid, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { Issuer } from '@/areas/oidc/Issuer';
import { api, read, take } from '@/client/api';
import { useMay } from '@/client/me';
import { Loading } from '@/parts/Loading';
import { ButtonLink, TextLink } from '@/parts/links';
import { octetsOf } from '@/parts/Octets';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { StatusBadge } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { UseBars } from '@/parts/UseBars';
import { t } from '@/text';
import { TenantLife } from './TenantLife';
import { TenantSettings } from './TenantSettings';

const words = t.tenants;

export function Page() {
  const { slug } = useParams({ from: '/in/tenants/$slug' });
  const may = useMay();
  const path = { slug };
  const tenant = useQuery({
    queryKey: ['tenants', slug],
    queryFn: () => read(api.GET('/v1/tenants/{slug}', { params: { path } })),
  });
  const there = tenant.data?.value.status !== 'deleted';
  const usage = useQuery({
    queryKey: ['tenants', slug, 'usage'],
    queryFn: () => take(api.GET('/v1/tenants/{slug}/usage', { params: { path } })),
    enabled: there && may('usage:read'),
    refetchInterval: 15_000,
  });
  if (tenant.isPending) return <Loading />;
  if (tenant.isError) {
    return (
      <>
        <PageHead title={slug} />
        <ProblemAlert error={tenant.error} retry={() => tenant.refetch()} />
      </>
    );
  }
  const { value, etag } = tenant.data;
  const used = usage.data;
  return (
    <>
      <PageHead
        title={value.name}
        trail={[
          <TextLink key="tenants" to="/tenants">
            {words.title}
          </TextLink>,
          value.slug,
        ]}
        badge={<StatusBadge status={value.status} />}
      />
      <Stack>
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          <Section title={words.one}>
            <Facts
              of={[
                [words.slug, value.slug],
                [t.common.created, <Time key="c" at={value.created_at} exact />],
                ...(value.deleted_at ? [[words.deletedAt, <Time key="d" at={value.deleted_at} />] as const] : []),
              ]}
            />
            <Group gap="xs" mt="md">
              <ButtonLink size="xs" variant="default" to="/domains" search={{ tenant: slug }}>
                {words.toDomains}
              </ButtonLink>
              <ButtonLink size="xs" variant="default" to="/accounts" search={{ tenant: slug }}>
                {words.toAccounts}
              </ButtonLink>
              <ButtonLink size="xs" variant="default" to="/aliases" search={{ tenant: slug }}>
                {words.toAliases}
              </ButtonLink>
            </Group>
          </Section>
          {there && (
            <Section title={words.usage}>
              <ProblemAlert error={usage.error} />
              {used && (
                <Stack gap="sm">
                  <UseBars of={used} />
                  <Facts
                    of={[
                      [words.kept, octetsOf(used.expunged_octets)],
                      [words.summed, <Time key="s" at={used.at} />],
                    ]}
                  />
                </Stack>
              )}
            </Section>
          )}
        </SimpleGrid>
        {there && <TenantSettings tenant={value} etag={etag} />}
        {there && may('admins:read') && <Issuer tenant={slug} />}
        <TenantLife tenant={value} etag={etag} />
      </Stack>
    </>
  );
}
