import { Group, Text } from '@mantine/core';
import { api, type Schemas, take } from '@/client/api';
import { useMay, usePlatform } from '@/client/me';
import { Problem } from '@/client/problem';
import { TextLink } from '@/parts/links';
import { octetsOf } from '@/parts/Octets';
import { PageHead } from '@/parts/PageHead';
import { type Ask, type Column, type Filter, type Page as Listed, ResourceList } from '@/parts/ResourceList';
import { Mark } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { count, t } from '@/text';
import { EndSession } from './EndSession';

const words = t.liveSessions;

type Session = Schemas['LiveSession'];

const columns: Column<Session>[] = [
  {
    title: words.account,
    main: true,
    cell: (item) => (
      <>
        <TextLink to="/accounts/$address" params={{ address: item.account }} search={{ tab: 'sessions' }}>
          {item.account}
        </TextLink>
        <Text size="xs" c="dimmed">
          {item.tenant}
        </Text>
      </>
    ),
  },
  {
    title: words.since,
    cell: (item) => (
      <Group gap="xs">
        <Time at={item.since} />
        {item.ending && <Mark tone="warn">{words.ending}</Mark>}
      </Group>
    ),
  },
  {
    title: words.from,
    cell: ({ address, client, server_name }) => (
      <>
        <Text size="sm">{address}</Text>
        <Text size="xs" c="dimmed">
          {[client, server_name && words.serverName(server_name)].filter(Boolean).join('; ')}
        </Text>
      </>
    ),
  },
  {
    title: words.credential,
    cell: ({ credential, tls }) => (
      <Group gap="xs">
        <span className="wrap">{credential?.name ?? words.noCredential}</span>
        <Mark tone={tls === 'none' ? 'warn' : 'dull'}>{words.tls[tls]}</Mark>
      </Group>
    ),
  },
  {
    title: words.fetched,
    right: true,
    cell: ({ fetched, fetched_octets }) =>
      fetched === 0 ? words.nothing : words.fetchedWords(count(fetched, words.message), octetsOf(fetched_octets)),
  },
  { title: words.frontend, cell: (item) => item.frontend.host },
];

const end: Column<Session> = {
  title: words.end,
  quiet: true,
  right: true,
  cell: (item) => !item.ending && <EndSession of={item} />,
};

const narrower: Filter[] = [
  { key: 'account', label: words.accountWhole },
  { key: 'domain', label: words.domainWhole },
];

/** While an address is being typed it is none yet, or nobody's: nothing matches, which is no failure. */
async function fetchSessions({ limit, cursor, filters: { account, domain, tenant } }: Ask): Promise<Listed<Session>> {
  if (account && !/^[^@]+@[^@]+\.[^@.]+$/.test(account)) return { items: [] };
  try {
    return await take(api.GET('/v1/live-sessions', { params: { query: { limit, cursor, account, domain, tenant } } }));
  } catch (error) {
    if (account && error instanceof Problem && error.status === 404) return { items: [] };
    throw error;
  }
}

/** Who is connected now, to any account that the reader reaches. */
export function Page() {
  const may = useMay();
  const platform = usePlatform();
  return (
    <>
      <PageHead title={words.title} />
      <ResourceList
        label={words.list}
        queryKey={['live-sessions']}
        live={5_000}
        fetch={fetchSessions}
        columns={may('sessions:write') ? [...columns, end] : columns}
        rowKey={(item) => item.id}
        filters={platform ? [{ key: 'tenant', label: t.common.tenant }, ...narrower] : narrower}
        empty={words.empty}
      />
    </>
  );
}
