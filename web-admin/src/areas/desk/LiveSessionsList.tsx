import { Button, Group, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { TextLink } from '@/parts/links';
import { told } from '@/parts/notify';
import { type Ask, type Column, type Filter, type Page, ResourceList } from '@/parts/ResourceList';
import { Mark } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { From, fetchedOf, Tls } from './session-cells';
import { TrialDialog } from './TrialDialog';

const words = t.desk.live;
const common = t.desk.session;

type Session = Schemas['LiveSession'];

/** What every list of sessions under way begins its key with. */
export const LIVE = ['live-sessions'] as const;

interface Props {
  of: string;
  fetch: (ask: Ask) => Promise<Page<Session>>;
  filters?: readonly Filter[];
  /** Whose each is: not within one account's page. */
  named?: boolean;
  prefix?: string;
  actions?: ReactNode;
}

/** Sessions under way, read again every few seconds. */
export function LiveSessionsList({ of, fetch, filters, named = false, prefix, actions }: Props) {
  const may = useMay();
  const queries = useQueryClient();
  const [ending, setEnding] = useState<Session | null>(null);
  const account: Column<Session> = {
    title: words.account,
    main: true,
    cell: (item) => (
      <>
        <TextLink to={'/accounts/$address' as '/'} params={{ address: item.account } as never}>
          {item.account}
        </TextLink>
        <Text size="xs" c="dimmed">
          {item.tenant}
        </Text>
      </>
    ),
  };
  const columns: Column<Session>[] = [
    ...(named ? [account] : []),
    { title: common.from, main: !named, cell: (item) => <From of={item} /> },
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
      title: common.credential,
      cell: (item) => (
        <Group gap="xs">
          <span className="wrap">{item.credential?.name ?? common.noCredential}</span>
          <Tls of={item.tls} />
        </Group>
      ),
    },
    { title: common.fetched, cell: fetchedOf },
    { title: words.frontend, cell: (item) => <span className="wrap">{item.frontend.host}</span> },
    {
      title: words.end,
      quiet: true,
      right: true,
      cell: (item) =>
        may('sessions:write') && (
          <Button
            size="compact-sm"
            variant="default"
            disabled={item.ending}
            aria-label={words.endLabel(item.account, item.address)}
            onClick={() => setEnding(item)}
          >
            {words.end}
          </Button>
        ),
    },
  ];
  const path = (id: string) => ({ path: { id } });
  return (
    <>
      <ResourceList
        label={words.list}
        queryKey={[...LIVE, of]}
        fetch={fetch}
        columns={columns}
        rowKey={(item) => item.id}
        filters={filters}
        empty={words.empty}
        prefix={prefix}
        live={5_000}
        actions={actions}
      />
      {ending && (
        <TrialDialog
          title={words.endTitle}
          verb={words.end}
          onClose={() => setEnding(null)}
          trial={() =>
            takeTrial(
              api.DELETE('/v1/live-sessions/{id}', { params: { ...path(ending.id), query: { dry_run: true } } }),
            )
          }
          act={() => take(api.DELETE('/v1/live-sessions/{id}', { params: path(ending.id) }))}
          done={() => {
            told(words.endDone);
            void queries.invalidateQueries({ queryKey: LIVE });
          }}
        >
          <Text size="sm">{words.endDetail(ending.account, ending.address)}</Text>
        </TrialDialog>
      )}
    </>
  );
}
