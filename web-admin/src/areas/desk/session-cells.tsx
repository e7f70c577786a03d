import { Text } from '@mantine/core';
import type { Schemas } from '@/client/api';
import { octetsOf } from '@/parts/Octets';
import { Mark } from '@/parts/StatusBadge';
import { t } from '@/text';

const words = t.desk.session;

export function Tls({ of }: { of: Schemas['TlsWord'] }) {
  return <Mark tone={of === 'none' ? 'warn' : 'dull'}>{words.tls[of]}</Mark>;
}

interface Client {
  address: string;
  client?: string | null | undefined;
  server_name?: string | null | undefined;
}

/** Where a client is, and what is known of it. */
export function From({ of: { address, client, server_name } }: { of: Client }) {
  return (
    <>
      <Text size="sm">{address}</Text>
      {client && (
        <Text size="xs" c="dimmed" className="wrap">
          {client}
        </Text>
      )}
      {server_name && (
        <Text size="xs" c="dimmed" className="wrap">
          {words.serverName(server_name)}
        </Text>
      )}
    </>
  );
}

export const fetchedOf = (of: { fetched: number; fetched_octets: number }) =>
  words.fetchedWords(of.fetched, octetsOf(of.fetched_octets));

/** How a session ended, in words; what a later release calls it stands as it is. */
export const endedOf = (word: string | null | undefined) => (word ? (words.ended[word] ?? word) : '–');
