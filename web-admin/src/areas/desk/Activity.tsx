import { Group, Text } from '@mantine/core';
import { api, type Schemas, take } from '@/client/api';
import { type Column, type Filter, ResourceList } from '@/parts/ResourceList';
import { Mark, type Tone } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { endedOf, From, fetchedOf, Tls } from './session-cells';

const words = t.desk.activity;
const common = t.desk.session;

type Item = Schemas['Activity'];

const tones: Record<Schemas['ActivityWord'], Tone> = { session: 'good', refused: 'bad', use: 'dull', expiry: 'warn' };

const filters: Filter[] = [
  {
    key: 'result',
    label: words.result,
    options: [
      { value: 'accepted', label: words.accepted },
      { value: 'refused', label: words.refused },
    ],
  },
  { key: 'since', label: words.since, kind: 'time' },
  { key: 'until', label: words.until, kind: 'time' },
];

const columns: Column<Item>[] = [
  { title: words.when, main: true, cell: (item) => <Time at={item.at} /> },
  {
    title: words.what,
    cell: (item) => (
      <Group gap="xs">
        <Mark tone={tones[item.kind]}>{words.kinds[item.kind]}</Mark>
        {item.tls && <Tls of={item.tls} />}
      </Group>
    ),
  },
  {
    title: common.from,
    cell: (item) => <From of={item.refused ? { ...item, address: words.network(item.refused.network) } : item} />,
  },
  {
    title: common.credential,
    cell: ({ credential, mechanism }) => (
      <>
        <span className="wrap">{credential?.name ?? '–'}</span>
        {mechanism && (
          <Text size="xs" c="dimmed">
            {mechanism}
          </Text>
        )}
      </>
    ),
  },
  { title: words.how, cell: (item) => <How of={item} /> },
];

/** What happened lately at an account, the last first. */
export function Activity({ address }: { address: string }) {
  return (
    <ResourceList
      label={words.list}
      queryKey={['accounts', address, 'activity']}
      fetch={({ limit, cursor, filters: { result, since, until } }) =>
        take(
          api.GET('/v1/accounts/{address}/activity', {
            params: { path: { address }, query: { limit, cursor, result, since, until } },
          }),
        )
      }
      columns={columns}
      rowKey={(item) =>
        `${item.at} ${item.kind} ${item.session?.id ?? item.credential?.id ?? ''} ${item.refused?.network ?? ''} ${item.refused?.reason ?? ''}`
      }
      filters={filters}
      empty={words.empty}
      prefix="act-"
      live={15_000}
    />
  );
}

function How({ of: { session, refused, logins } }: { of: Item }) {
  if (session) {
    return (
      <>
        <Text size="sm">
          {common.fetched}: {fetchedOf(session)} · {common.expunged}: {t.desk.messages(session.expunged)}
        </Text>
        {session.ended && (
          <Text size="xs" c="dimmed">
            {endedOf(session.ended)}
          </Text>
        )}
        {session.last_error && <Told line={session.last_error} />}
      </>
    );
  }
  if (refused) {
    return (
      <>
        <Text size="sm" fw={600}>
          {words.reasons[refused.reason] ?? refused.reason}
        </Text>
        <Text size="xs" c="dimmed">
          {words.attempts(refused.attempts)}
          {refused.different_secrets > 0 && ` · ${words.secrets(refused.different_secrets)}`}
        </Text>
        <Told line={refused.told} />
      </>
    );
  }
  return logins == null ? null : <Text size="sm">{words.logins(logins)}</Text>;
}

function Told({ line }: { line: string }) {
  return (
    <Text size="xs" className="wrap">
      {words.told} <code>{line}</code>
    </Text>
  );
}
