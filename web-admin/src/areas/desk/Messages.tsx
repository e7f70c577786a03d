import { Button, Group, Stack, Text } from '@mantine/core';
import { useAddress } from '@/app/search';
import { api, type Schemas, take } from '@/client/api';
import { useMay } from '@/client/me';
import { Octets } from '@/parts/Octets';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { ExpungedMessages } from './ExpungedMessages';
import { TestMessage } from './TestMessage';

const words = t.desk.mail;

const columns: Column<Schemas['Message']>[] = [
  { title: words.received, main: true, cell: (item) => <Time at={item.received_at} /> },
  { title: words.octets, right: true, cell: (item) => <Octets value={item.octets} /> },
  { title: words.uniqueId, cell: (item) => <code className="wrap">{item.unique_id}</code> },
];

/** An account's messages, their metadata only: those in the maildrop, those that can be restored, and a test message. */
export function Messages({ address }: { address: string }) {
  const may = useMay();
  const [search, setSearch] = useAddress();
  const views = [
    { key: 'live', label: words.live, shown: may('messages:read') },
    { key: 'deleted', label: words.deleted, shown: may('messages:read') },
    { key: 'test', label: words.test, shown: may('messages:deliver') },
  ].filter(({ shown }) => shown);
  const view = views.find(({ key }) => key === search.mail)?.key ?? views[0]?.key;
  return (
    <Stack gap="sm">
      <Group component="nav" gap="xs" aria-label={words.views}>
        {views.map(({ key, label }) => (
          <Button
            key={key}
            size="xs"
            variant={key === view ? 'filled' : 'default'}
            aria-current={key === view || undefined}
            onClick={() => setSearch({ mail: key }, { push: true })}
          >
            {label}
          </Button>
        ))}
      </Group>
      {view === 'live' && (
        <>
          <Text size="sm" c="dimmed">
            {words.listNote}
          </Text>
          <ResourceList
            label={words.list}
            queryKey={['accounts', address, 'messages']}
            fetch={({ limit, cursor }) =>
              take(
                api.GET('/v1/accounts/{address}/messages', { params: { path: { address }, query: { limit, cursor } } }),
              )
            }
            columns={columns}
            rowKey={(item) => item.unique_id}
            empty={words.empty}
            prefix="mail-"
          />
        </>
      )}
      {view === 'deleted' && <ExpungedMessages address={address} />}
      {view === 'test' && <TestMessage address={address} />}
    </Stack>
  );
}
