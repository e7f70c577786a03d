import { Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { told } from '@/parts/notify';
import { octetsOf } from '@/parts/Octets';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { exactly, Time } from '@/parts/Time';
import { TryButton } from '@/parts/TryButton';
import { count, t } from '@/text';

const words = t.accounts;

type Past = Schemas['PastSession'];

/** Sessions that fetched or deleted something. One that deleted too much is undone. */
export function PastSessions({ address }: { address: string }) {
  const may = useMay();
  const queries = useQueryClient();
  const undo = (id: string, dry_run?: true) =>
    api.POST('/v1/accounts/{address}/sessions/{id}/undo', { params: { path: { address, id }, query: { dry_run } } });
  const columns: Column<Past>[] = [
    { title: words.started, main: true, cell: (item) => <Time at={item.started_at} /> },
    {
      title: words.from,
      cell: (item) => (
        <>
          {item.address}
          <Text size="xs" c="dimmed">
            {[item.mechanism, item.client].filter(Boolean).join('; ')}
          </Text>
        </>
      ),
    },
    { title: words.outcome, cell: (item) => words.outcomes[item.outcome] },
    {
      title: words.fetched,
      right: true,
      cell: (item) => `${count(item.fetched, words.message)}, ${octetsOf(item.fetched_octets)}`,
    },
    { title: words.expunged, right: true, cell: (item) => count(item.expunged, words.message) },
    {
      title: words.undo,
      quiet: true,
      right: true,
      cell: (item) =>
        may('messages:restore') &&
        item.restorable > 0 && (
          <TryButton
            size="compact-sm"
            label={words.undoLabel(exactly(item.started_at))}
            title={words.undoTitle}
            verb={words.undo}
            trial={() => takeTrial(undo(item.id, true))}
            act={() => take(undo(item.id))}
            done={({ messages }) => {
              told(words.restoredMessages(count(messages, words.message)));
              void queries.invalidateQueries({ queryKey: ['accounts', address] });
            }}
          >
            <Text size="sm">{words.undoDetail(count(item.restorable, words.message))}</Text>
          </TryButton>
        ),
    },
  ];
  return (
    <Section title={words.sessionsPast}>
      <Stack>
        <ResourceList
          label={words.sessionsPast}
          queryKey={['accounts', address, 'sessions']}
          prefix="past-"
          fetch={({ limit, cursor }) =>
            take(
              api.GET('/v1/accounts/{address}/sessions', { params: { path: { address }, query: { limit, cursor } } }),
            )
          }
          columns={columns}
          rowKey={(item) => item.id}
          empty={words.sessionsPastEmpty}
        />
      </Stack>
    </Section>
  );
}
