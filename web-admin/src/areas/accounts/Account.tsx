import { Tabs } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useRef } from 'react';
import type { Permission } from '@/app/permission';
import { useAddress } from '@/app/search';
import { api, read, type Schemas, type Versioned } from '@/client/api';
import { useMay } from '@/client/me';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { StatusBadge } from '@/parts/StatusBadge';
import { t } from '@/text';

const words = t.accounts;

export interface TabProps {
  account: Schemas['Account'];
  etag: string | undefined;
}

// Each tab is loaded when it is first shown. What its lists are filtered by is in the address, below its own names.
const tabs = {
  summary: { needs: 'accounts:read', Tab: lazy(() => import('./Summary')) },
  credentials: { needs: 'credentials:read', Tab: lazy(() => import('./Credentials')) },
  sessions: { needs: 'sessions:read', Tab: lazy(() => import('./Sessions')) },
  messages: { needs: 'messages:read', Tab: lazy(() => import('./Messages')) },
  activity: { needs: 'activity:read', Tab: lazy(() => import('./Activity')) },
  transcripts: { needs: 'transcripts:read', Tab: lazy(() => import('./Transcripts')) },
  settings: { needs: 'accounts:read', Tab: lazy(() => import('./Settings')) },
} satisfies Record<string, { needs: Permission; Tab: unknown }>;

type TabName = keyof typeof tabs;

export function useAccount(address: string) {
  return useQuery({
    queryKey: ['accounts', address],
    queryFn: () => read(api.GET('/v1/accounts/{address}', { params: { path: { address } } })),
  });
}

export function Page() {
  const { address } = useParams({ from: '/in/accounts/$address' });
  const account = useAccount(address);
  return (
    <>
      <PageHead
        title={address}
        trail={[
          <TextLink key="accounts" to="/accounts">
            {words.title}
          </TextLink>,
          address,
        ]}
        badge={account.data && <StatusBadge status={account.data.value.status} />}
      />
      {account.isPending && <Loading />}
      <ProblemAlert error={account.error} retry={() => account.refetch()} />
      {account.data && <Inside account={account.data} />}
    </>
  );
}

function Inside({ account: { value, etag } }: { account: Versioned<Schemas['Account']> }) {
  const may = useMay();
  const [search, setSearch] = useAddress();
  const there = value.status !== 'deleted';
  const names = (Object.keys(tabs) as TabName[]).filter(
    (name) => may(tabs[name].needs) && (there || name === 'summary' || name === 'settings'),
  );
  const current = names.find((name) => name === search.tab) ?? 'summary';
  const { Tab } = tabs[current];
  const open = (name: string | null) => {
    // Another tab, other lists: only what all of them share stays in the address.
    const cleared = Object.fromEntries(Object.keys(search).map((key) => [key, undefined]));
    setSearch({ ...cleared, tab: name === 'summary' || name === null ? undefined : name }, { push: true });
  };
  const bar = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another tab, another place
  useEffect(() => {
    bar.current?.querySelector('[data-active]')?.scrollIntoView({ inline: 'center', block: 'nearest' });
  }, [current]);
  return (
    <Tabs value={current} onChange={open} keepMounted={false} activateTabWithKeyboard={false}>
      <div className="tabs" ref={bar}>
        <Tabs.List aria-label={words.tabsLabel}>
          {names.map((name) => (
            <Tabs.Tab key={name} value={name}>
              {words.tabs[name]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
      </div>
      {names.map((name) => (
        <Tabs.Panel key={name} value={name} pt="md">
          {name === current && (
            <Suspense fallback={<Loading />}>
              <Tab account={value} etag={etag} />
            </Suspense>
          )}
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}
