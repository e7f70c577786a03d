import { Text } from '@mantine/core';
import { useAddress } from '@/app/search';
import { api, type Schemas, take } from '@/client/api';
import { useMay } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { TextLink } from '@/parts/links';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Mark, type Tone } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { number, t } from '@/text';
import { Redeliver } from './Redeliver';

const words = t.webhooks;

type Delivery = Schemas['WebhookDelivery'];

const states = ['due', 'delivered', 'dead'] as const;
const tones: Record<Delivery['state'], Tone> = { due: 'busy', delivered: 'good', dead: 'bad' };
const errors: Record<string, string | undefined> = words.errors;

export function DeliveryMark({ state }: Pick<Delivery, 'state'>) {
  return <Mark tone={tones[state]}>{words.states[state]}</Mark>;
}

/** What the last try came to: the status that was answered, or why there was none. */
export function answerOf({ response_code, error }: Delivery): string {
  const reason = error && error !== 'status' ? (errors[error] ?? error) : null;
  return [response_code, reason].filter((part) => part != null).join(' · ') || '–';
}

/** The log of what was and is to be delivered; with `state=dead` the dead letters. */
export function Deliveries({ webhook }: { webhook: string }) {
  const write = useMay()('webhooks:write');
  const [search] = useAddress();
  const columns: Column<Delivery>[] = [
    {
      title: words.event,

      main: true,
      cell: (item) => (
        <TextLink to="/webhooks/$id/deliveries/$delivery" params={{ id: webhook, delivery: item.id }}>
          {item.event_type}
        </TextLink>
      ),
    },
    { title: words.happened, cell: (item) => <Time at={item.created_at} /> },
    { title: words.attempts, right: true, cell: (item) => number(item.attempts) },
    { title: words.answer, cell: answerOf },
    { title: words.lastAttempt, cell: (item) => <Time at={item.last_attempt_at} /> },
    {
      title: words.nextAttempt,
      cell: (item) => (item.next_attempt_at ? <Time at={item.next_attempt_at} /> : words.noAttempt),
    },
    { title: words.state, cell: (item) => <DeliveryMark state={item.state} /> },
    ...(write
      ? [
          {
            title: words.redeliver,
            quiet: true,
            right: true,
            cell: (item: Delivery) => item.state !== 'due' && <Redeliver webhook={webhook} delivery={item.id} small />,
          },
        ]
      : []),
  ];
  return (
    <>
      {search.state === 'dead' && <Text mb="sm">{words.deadDetail}</Text>}
      <ResourceList
        label={words.deliveries}
        queryKey={['webhooks', webhook, 'deliveries']}
        fetch={({ limit, cursor, order, filters }) => {
          const state = states.find((each) => each === filters.state);
          const query = { limit, cursor, state, ...order };
          return take(api.GET('/v1/webhooks/{id}/deliveries', { params: { path: { id: webhook }, query } }));
        }}
        columns={columns}
        rowKey={(item) => item.id}
        sorts={sortsOf('/v1/webhooks/{id}/deliveries')}
        empty={words.nothing}
        limit={25}
        live={5_000}
        filters={[
          { key: 'state', label: words.state, options: states.map((value) => ({ value, label: words.states[value] })) },
        ]}
      />
    </>
  );
}
