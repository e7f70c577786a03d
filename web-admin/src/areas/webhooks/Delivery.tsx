import { Code, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { api, take } from '@/client/api';
import { useMay } from '@/client/me';
import { at } from '@/client/pointer';
import { CopyButton } from '@/parts/CopyButton';
import { Changes } from '@/parts/Effects';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { number, t } from '@/text';
import { answerOf, DeliveryMark } from './Deliveries';
import { Redeliver } from './Redeliver';

const words = t.webhooks;

export function Page() {
  const path = useParams({ from: '/in/webhooks/$id/deliveries/$delivery' });
  const write = useMay()('webhooks:write');
  const got = useQuery({
    queryKey: ['webhooks', path.id, 'deliveries', path.delivery],
    queryFn: () => take(api.GET('/v1/webhooks/{id}/deliveries/{delivery}', { params: { path } })),
    refetchInterval: ({ state }) => (state.data?.state === 'due' ? 3_000 : false),
  });
  if (got.isError) return <ProblemAlert error={got.error} retry={() => got.refetch()} />;
  if (!got.data) return <Loading />;
  const delivery = got.data;
  const payload = JSON.stringify(delivery.payload, null, 2);
  return (
    <>
      <PageHead
        title={delivery.event_type}
        trail={[
          <TextLink key="list" to="/webhooks">
            {words.title}
          </TextLink>,
          <TextLink key="one" to="/webhooks/$id" params={{ id: path.id }}>
            {path.id}
          </TextLink>,
        ]}
        badge={<DeliveryMark state={delivery.state} />}
        actions={write && delivery.state !== 'due' && <Redeliver webhook={path.id} delivery={delivery.id} />}
      />
      <Stack>
        <Section title={words.delivery}>
          <Facts
            of={[
              ['Restante-Delivery', delivery.id],
              [words.eventId, delivery.event_id],
              [words.happened, <Time key="h" at={delivery.created_at} exact />],
              [words.attempts, number(delivery.attempts)],
              [words.lastAttempt, <Time key="l" at={delivery.last_attempt_at} exact />],
              [words.answer, answerOf(delivery)],
              [
                words.nextAttempt,
                delivery.next_attempt_at ? <Time key="n" at={delivery.next_attempt_at} exact /> : words.noAttempt,
              ],
            ]}
          />
        </Section>
        <Section title={words.what}>
          <Changes before={at(delivery.payload, '/data/before')} after={at(delivery.payload, '/data/after')} />
        </Section>
        <Section title={words.payload} actions={<CopyButton text={payload} of={words.payload} />}>
          <Code block className="wrap">
            {payload}
          </Code>
        </Section>
      </Stack>
    </>
  );
}
