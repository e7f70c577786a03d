import { Button, Group, Text } from '@mantine/core';
import { useState } from 'react';
import { useAddress } from '@/app/search';
import { api, type Schemas, take } from '@/client/api';
import { useMay } from '@/client/me';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { exactly, Time } from '@/parts/Time';
import { t } from '@/text';
import { RestoreDialog } from './restore';
import { endedOf, From, fetchedOf, Tls } from './session-cells';

const words = t.desk.past;
const common = t.desk.session;

type Session = Schemas['PastSession'];

interface Props {
  address: string;
  /** What the address says to show the messages' tab, where the page has one. */
  toMessages?: Record<string, string>;
}

/** Sessions that are over; one that deleted mail can be undone. */
export function PastSessions({ address, toMessages }: Props) {
  const may = useMay();
  const [, setSearch] = useAddress();
  const [undoing, setUndoing] = useState<Session | null>(null);
  const columns: Column<Session>[] = [
    { title: words.began, main: true, cell: (item) => <Time at={item.started_at} /> },
    {
      title: words.ended,
      cell: (item) => (
        <>
          <Time at={item.ended_at} />
          <Text size="xs" c="dimmed">
            {endedOf(item.outcome)}
          </Text>
        </>
      ),
    },
    { title: common.from, cell: (item) => <From of={item} /> },
    {
      title: common.credential,
      cell: (item) => (
        <Group gap="xs">
          <span>{item.credential ?? common.noCredential}</span>
          <Tls of={item.tls} />
        </Group>
      ),
    },
    { title: common.fetched, cell: fetchedOf },
    {
      title: common.expunged,
      cell: (item) => (
        <>
          {t.desk.messages(item.expunged)}
          {item.restorable > 0 && (
            <Text size="xs" c="dimmed">
              {words.restorable(item.restorable)}
            </Text>
          )}
        </>
      ),
    },
    {
      title: words.undo,
      quiet: true,
      right: true,
      cell: (item) =>
        item.restorable > 0 && (
          <Group gap="xs" justify="flex-end">
            {toMessages && may('messages:read') && (
              <Button
                size="compact-sm"
                variant="subtle"
                onClick={() => setSearch({ ...toMessages, mail: 'deleted', 'gone-session': item.id }, { push: true })}
              >
                {words.see}
              </Button>
            )}
            {may('messages:restore') && (
              <Button
                size="compact-sm"
                variant="default"
                aria-label={words.undoLabel(exactly(item.started_at))}
                onClick={() => setUndoing(item)}
              >
                {words.undo}
              </Button>
            )}
          </Group>
        ),
    },
  ];
  return (
    <>
      <ResourceList
        label={words.list}
        queryKey={['accounts', address, 'sessions']}
        fetch={({ limit, cursor }) =>
          take(api.GET('/v1/accounts/{address}/sessions', { params: { path: { address }, query: { limit, cursor } } }))
        }
        columns={columns}
        rowKey={(item) => item.id}
        empty={words.empty}
        prefix="past-"
      />
      {undoing && (
        <RestoreDialog
          address={address}
          what={{ session: undoing.id }}
          title={words.undoTitle}
          detail={words.undoDetail}
          verb={words.undo}
          onClose={() => setUndoing(null)}
        />
      )}
    </>
  );
}
