import { SimpleGrid, Skeleton, Stack, Text } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { lazy } from 'react';
import { api, type Schemas, take } from '@/client/api';
import { useMay } from '@/client/me';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { Asked, type Range, useAsked } from './Asked';
import { BarChart } from './BarChart';
import { Failures, Fullest, Health } from './Lists';
import { Tiles } from './Tiles';

const Start = lazy(() => import('./Start'));

const words = t.overview;

// How often it is read again while it is seen, in milliseconds: what is summed is some seconds old anyway.
const every: Record<Range, number> = { '1': 5_000, '24': 10_000, '168': 30_000 };

export function Page() {
  return useMay()('usage:read') ? <Overview /> : <Start />;
}

function Overview() {
  const { range, tenant } = useAsked();
  const hours = Number(range);
  const overview = useQuery({
    queryKey: ['overview', { hours, tenant }],
    queryFn: () => take(api.GET('/v1/overview', { params: { query: { hours, tenant } } })),
    refetchInterval: every[range],
    placeholderData: keepPreviousData,
  });
  return (
    <>
      <PageHead title={t.shell.overview} actions={<Asked />} />
      <Stack gap="md">
        <ProblemAlert error={overview.error} retry={() => overview.refetch()} />
        {overview.isPending && <Skeleton height={320} role="status" aria-label={t.common.loading} />}
        {overview.data && (
          <div style={{ opacity: overview.isPlaceholderData ? 0.6 : 1 }} aria-busy={overview.isPlaceholderData}>
            <Figures of={overview.data} hours={hours} tenant={tenant} />
          </div>
        )}
      </Stack>
    </>
  );
}

interface Props {
  of: Schemas['Overview'];
  hours: number;
  tenant: string | undefined;
}

function Figures({ of, hours, tenant }: Props) {
  return (
    <Stack gap="md">
      <Tiles of={of} tenant={tenant} />
      <Section title={words.health}>
        <Health of={of.health} />
      </Section>
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Section title={words.loginsTitle}>
          <BarChart
            title={words.loginsTitle}
            detail={words.loginsDetail}
            good={words.accepted}
            bad={words.refused}
            points={of.series.map(({ at, logins, failures }) => ({ at, good: logins, bad: failures }))}
            hours={hours}
          />
        </Section>
        <Section title={words.deliveriesTitle}>
          <BarChart
            title={words.deliveriesTitle}
            detail={words.deliveriesDetail}
            good={words.delivered}
            bad={words.refused}
            points={of.series.map(({ at, deliveries, refused }) => ({ at, good: deliveries, bad: refused }))}
            hours={hours}
          />
        </Section>
        <Section title={words.failures}>
          <Failures of={of.failures} />
        </Section>
        <Section title={words.fullest}>
          <Fullest of={of.fullest} />
        </Section>
      </SimpleGrid>
      <Text size="sm" c="dimmed">
        {words.asOf} <Time at={of.at} />, {words.live}
      </Text>
    </Stack>
  );
}
