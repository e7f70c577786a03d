import { SimpleGrid, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, type Schemas, take } from '@/client/api';
import { useMay } from '@/client/me';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { octetsOf } from '@/parts/Octets';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { UseBars } from '@/parts/UseBars';
import { t } from '@/text';
import type { TabProps } from './Account';
import { Diagnosis } from './Diagnosis';

const words = t.accounts;

export default function Summary({ account }: TabProps) {
  const may = useMay();
  const there = account.status !== 'deleted';
  return (
    <Stack>
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Section title={words.facts}>
          <Facts
            of={[
              [
                t.common.tenant,
                <TextLink key="t" to="/tenants/$slug" params={{ slug: account.tenant }}>
                  {account.tenant}
                </TextLink>,
              ],
              [
                t.common.domain,
                <TextLink
                  key="d"
                  to="/domains/$name"
                  params={{ name: account.domain }}
                  search={{ tenant: account.tenant }}
                >
                  {account.domain}
                </TextLink>,
              ],
              [words.hasPassword, account.has_password ? t.common.yes : t.common.no],
              [t.common.created, <Time key="c" at={account.created_at} exact />],
              ...(account.deleted_at ? [[words.deletedAt, <Time key="x" at={account.deleted_at} />] as const] : []),
            ]}
          />
        </Section>
        {there && may('usage:read') && <Use account={account} />}
      </SimpleGrid>
      {there && may('activity:read') && <Diagnosis address={account.address} />}
    </Stack>
  );
}

function Use({ account: { address } }: { account: Schemas['Account'] }) {
  const usage = useQuery({
    queryKey: ['accounts', address, 'usage'],
    queryFn: () => take(api.GET('/v1/accounts/{address}/usage', { params: { path: { address } } })),
    refetchInterval: 10_000,
  });
  return (
    <Section title={words.use}>
      <ProblemAlert error={usage.error} />
      {usage.isPending && <Loading />}
      {usage.data && (
        <Stack gap="sm">
          <UseBars of={usage.data} />
          <Facts of={[[words.kept, octetsOf(usage.data.expunged_octets)]]} />
        </Stack>
      )}
    </Section>
  );
}
