import { Stack, Text } from '@mantine/core';
import { api, type Schemas, take } from '@/client/api';
import { useMay } from '@/client/me';
import { octetsOf } from '@/parts/Octets';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import type { TabProps } from './Account';
import { Deliver } from './Deliver';
import { Expunged } from './Expunged';

const words = t.accounts;

type Message = Schemas['Message'];

export const messageColumns: Column<Message>[] = [
  {
    title: words.uniqueId,
    main: true,
    cell: (item) => (
      <Text size="sm" ff="monospace" className="wrap">
        {item.unique_id}
      </Text>
    ),
  },
  { title: words.received, cell: (item) => <Time at={item.received_at} exact /> },
  { title: words.size, right: true, cell: (item) => octetsOf(item.octets) },
];

/** The maildrop's messages: when they came and how large they are, never what is in them. */
export default function Messages({ account: { address } }: TabProps) {
  const may = useMay();
  return (
    <Stack>
      <Section title={words.messagesLive} actions={may('messages:deliver') && <Deliver address={address} />}>
        <ResourceList
          label={words.messagesLive}
          queryKey={['accounts', address, 'messages']}
          fetch={({ limit, cursor }) =>
            take(
              api.GET('/v1/accounts/{address}/messages', { params: { path: { address }, query: { limit, cursor } } }),
            )
          }
          columns={messageColumns}
          rowKey={(item) => item.unique_id}
          empty={words.messagesEmpty}
        />
      </Section>
      <Expunged address={address} />
    </Stack>
  );
}
