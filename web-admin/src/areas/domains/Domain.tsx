import { Group, SimpleGrid, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { useAddress } from '@/app/search';
import { api, read, take } from '@/client/api';
import { useMay } from '@/client/me';
import { Loading } from '@/parts/Loading';
import { ButtonLink, TextLink } from '@/parts/links';
import { octetsOf } from '@/parts/Octets';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { UseBars } from '@/parts/UseBars';
import { t } from '@/text';
import { Claim } from './Claim';
import { Dns } from './Dns';
import { DomainLife } from './DomainLife';
import { DomainSettings } from './DomainSettings';
import { DomainMark } from './Domains';

const words = t.domains;

export function Page() {
  const { name } = useParams({ from: '/in/domains/$name' });
  const [{ tenant }] = useAddress();
  const may = useMay();
  const params = { path: { name }, query: { tenant } };
  const domain = useQuery({
    queryKey: ['domains', name, tenant ?? ''],
    queryFn: () => read(api.GET('/v1/domains/{name}', { params })),
  });
  const there = domain.data !== undefined && !domain.data.value.deleted_at;
  const usage = useQuery({
    queryKey: ['domains', name, tenant ?? '', 'usage'],
    queryFn: () => take(api.GET('/v1/domains/{name}/usage', { params: { path: { name } } })),
    enabled: there && domain.data?.value.verified && may('usage:read'),
    refetchInterval: 15_000,
  });
  if (domain.isPending) return <Loading />;
  if (domain.isError) {
    return (
      <>
        <PageHead title={name} />
        <ProblemAlert error={domain.error} retry={() => domain.refetch()} />
      </>
    );
  }
  const { value, etag } = domain.data;
  const used = usage.data;
  return (
    <>
      <PageHead
        title={value.name}
        trail={[
          <TextLink key="domains" to="/domains">
            {words.title}
          </TextLink>,
          value.name,
        ]}
        badge={<DomainMark domain={value} />}
      />
      <Stack>
        {there && !value.verified && <Claim domain={value} etag={etag} />}
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          <Section title={words.one}>
            <Facts
              of={[
                [
                  words.tenant,
                  <TextLink key="t" to="/tenants/$slug" params={{ slug: value.tenant }}>
                    {value.tenant}
                  </TextLink>,
                ],
                [t.common.created, <Time key="c" at={value.created_at} exact />],
                ...(value.verified_at
                  ? [[words.verifiedAt, <Time key="v" at={value.verified_at} exact />] as const]
                  : []),
                ...(value.deleted_at ? [[t.common.deleted, <Time key="d" at={value.deleted_at} />] as const] : []),
              ]}
            />
            <Group gap="xs" mt="md">
              <ButtonLink size="xs" variant="default" to="/accounts" search={{ domain: name }}>
                {t.tenants.toAccounts}
              </ButtonLink>
              <ButtonLink size="xs" variant="default" to="/aliases" search={{ domain: name }}>
                {t.tenants.toAliases}
              </ButtonLink>
            </Group>
          </Section>
          {used && (
            <Section title={t.tenants.usage}>
              <Stack gap="sm">
                <UseBars of={used} />
                <Facts of={[[t.tenants.kept, octetsOf(used.expunged_octets)]]} />
              </Stack>
            </Section>
          )}
        </SimpleGrid>
        {there && <Dns name={name} tenant={tenant} />}
        {there && <DomainSettings domain={value} etag={etag} />}
        {may('domains:write') && <DomainLife domain={value} etag={etag} />}
      </Stack>
    </>
  );
}
