import { Group, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { EndSession } from '@/areas/live-sessions/EndSession';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { DestroyButton } from '@/parts/DestroyButton';
import { told } from '@/parts/notify';
import { octetsOf } from '@/parts/Octets';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { Mark } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { count, t } from '@/text';
import type { TabProps } from './Account';
import { PastSessions } from './PastSessions';

const words = t.accounts;

type Live = Schemas['LiveSession'];

export default function Sessions({ account: { address } }: TabProps) {
  const writes = useMay()('sessions:write');
  const queries = useQueryClient();
  const queryKey = ['accounts', address, 'live-sessions'];
  const ended = () => {
    told(words.ended);
    void queries.invalidateQueries({ queryKey });
  };
  const endAll = (dry_run?: true) =>
    api.DELETE('/v1/accounts/{address}/live-sessions', { params: { path: { address }, query: { dry_run } } });
  const columns: Column<Live>[] = [
    {
      title: words.since,
      main: true,
      cell: (item) => (
        <Group gap="xs">
          <Time at={item.since} />
          {item.ending && <Mark tone="warn">{words.ending}</Mark>}
        </Group>
      ),
    },
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
    { title: words.with, cell: (item) => item.credential?.name ?? words.byPassword },
    { title: words.frontend, cell: (item) => item.frontend.host },
    {
      title: words.fetched,
      right: true,
      cell: (item) => `${count(item.fetched, words.message)}, ${octetsOf(item.fetched_octets)}`,
    },
    {
      title: words.end,
      quiet: true,
      right: true,
      cell: (item) => writes && !item.ending && <EndSession of={item} />,
    },
  ];
  return (
    <Stack>
      <Section
        title={words.sessionsLive}
        actions={
          writes && (
            <DestroyButton
              size="xs"
              title={words.endTitle}
              verb={words.endAll}
              target={address}
              trial={() => takeTrial(endAll(true))}
              act={() => take(endAll())}
              done={ended}
            >
              <Text size="sm">{words.endDetail}</Text>
            </DestroyButton>
          )
        }
      >
        <ResourceList
          label={words.sessionsLive}
          queryKey={queryKey}
          prefix="live-"
          live={5000}
          fetch={({ limit, cursor }) =>
            take(
              api.GET('/v1/accounts/{address}/live-sessions', {
                params: { path: { address }, query: { limit, cursor } },
              }),
            )
          }
          columns={columns}
          rowKey={(item) => item.id}
          empty={words.sessionsLiveEmpty}
        />
      </Section>
      <PastSessions address={address} />
    </Stack>
  );
}
