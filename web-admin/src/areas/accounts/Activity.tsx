import { Stack, Text } from '@mantine/core';
import { api, type Schemas, take } from '@/client/api';
import { octetsOf } from '@/parts/Octets';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Mark, type Tone } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { count, number, t } from '@/text';
import type { TabProps } from './Account';

const words = t.accounts;

type Entry = Schemas['Activity'];

const tones: Record<Entry['kind'], Tone> = { session: 'good', refused: 'bad', use: 'dull', expiry: 'warn' };

/** What one entry comes to, in a few words. */
function resultOf({ refused, session, logins }: Entry): string[] {
  const parts: string[] = [];
  if (refused) {
    parts.push(`${t.reasons[refused.reason] ?? refused.reason}, ${count(refused.attempts, words.attempt)}`);
    if (refused.different_secrets > 1) parts.push(words.secrets(number(refused.different_secrets)));
    parts.push(refused.told);
  }
  if (session) {
    parts.push(
      words.fetchedAndDeleted(
        `${count(session.fetched, words.message)} (${octetsOf(session.fetched_octets)})`,
        count(session.expunged, words.message),
      ),
    );
    if (session.ended) parts.push(session.ended);
    if (session.last_error) parts.push(`${words.lastError}: ${session.last_error}`);
  }
  if (logins != null) parts.push(count(logins, words.login));
  return parts;
}

const columns: Column<Entry>[] = [
  { title: words.when, main: true, cell: (item) => <Time at={item.at} /> },
  { title: words.what, cell: (item) => <Mark tone={tones[item.kind]}>{words.activityKinds[item.kind]}</Mark> },
  { title: words.from, cell: (item) => item.refused?.network ?? item.address },
  { title: words.with, cell: (item) => item.credential?.name ?? item.mechanism ?? '–' },
  { title: words.client, cell: (item) => <Text size="xs">{item.client ?? '–'}</Text> },
  {
    title: words.result,
    cell: (item) => (
      <Stack gap={0}>
        {resultOf(item).map((part) => (
          <Text key={part} size="sm">
            {part}
          </Text>
        ))}
      </Stack>
    ),
  },
];

export default function Activity({ account: { address } }: TabProps) {
  return (
    <ResourceList
      label={words.tabs.activity}
      queryKey={['accounts', address, 'activity']}
      live={10_000}
      fetch={({ limit, cursor, filters: { result, since, until } }) =>
        take(
          api.GET('/v1/accounts/{address}/activity', {
            params: { path: { address }, query: { limit, cursor, result, since, until } },
          }),
        )
      }
      columns={columns}
      rowKey={(item) =>
        [item.kind, item.at, item.session?.id, item.refused?.network, item.refused?.reason, item.credential?.id].join(
          ' ',
        )
      }
      filters={[
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
      ]}
      empty={words.activityEmpty}
    />
  );
}
