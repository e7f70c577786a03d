import { Group, Skeleton, Stack, Text } from '@mantine/core';
import { keepPreviousData, type QueryKey, useQuery } from '@tanstack/react-query';
import { useLocation } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useAddress } from '@/app/search';
import { t } from '@/text';
import { counts, type Filter, ListFilters } from './ListFilters';
import { ListPager } from './ListPager';
import { type Column, ListTable } from './ListTable';
import { ProblemAlert } from './ProblemAlert';

export type { Column, Filter };

export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

/** What a list is asked: the filters of the address, its order and its cursor. */
export interface Ask {
  limit: number;
  cursor: string | undefined;
  /** The list's order, to spread into the query: `sort` where one was chosen, of those that the API's document has. */
  order: object;
  filters: Record<string, string | undefined>;
}

interface Props<T> {
  /** What is listed, for screen readers and for the pager. */
  label: string;
  /** The first parts of the query's key; a change invalidates by them. */
  queryKey: QueryKey;
  fetch: (ask: Ask) => Promise<Page<T>>;
  columns: readonly Column<T>[];
  rowKey: (item: T) => string;
  filters?: readonly Filter[];
  /** The orders that the API offers for this list: `sorts` of its path. */
  sorts?: readonly string[] | undefined;
  empty?: string;
  limit?: number;
  /** Where a page has two lists: what the names in the address begin with. */
  prefix?: string;
  /** How often it is read again by itself, in milliseconds. */
  live?: number;
  /** Beside the filters: what makes a new one. */
  actions?: ReactNode;
}

/** A list of the API: filtered, sorted and paged by the address, so that what is seen can be shared. */
export function ResourceList<T>(props: Props<T>) {
  const {
    label,
    queryKey,
    fetch,
    columns,
    rowKey,
    filters = [],
    sorts = [],
    empty,
    limit = 50,
    prefix = '',
    live,
  } = props;
  const [search, setSearch] = useAddress();
  const trail = useLocation({ select: (here) => here.state.trail });
  const get = (name: string) => search[prefix + name] || undefined;
  const cursor = get('cursor');
  const asked = get('sort');
  const sort = asked && sorts.includes(asked) ? asked : undefined;
  const values = Object.fromEntries(filters.map(({ key }) => [key, get(key)]));
  const counted = Object.fromEntries(
    filters.filter((filter) => counts(filter, values)).map(({ key }) => [key, values[key]]),
  );

  const page = useQuery({
    queryKey: [...queryKey, 'list', { limit, cursor, sort, ...counted }],
    queryFn: () => fetch({ limit, cursor, order: sort ? { sort } : {}, filters: counted }),
    placeholderData: keepPreviousData,
    refetchInterval: live,
  });

  const change = (changes: Record<string, string | undefined>) =>
    setSearch(
      Object.fromEntries(
        [...Object.entries(changes), ['cursor', undefined]].map(([name, value]) => [prefix + name, value]),
      ),
    );
  const filtered = Object.values(values).some(Boolean);
  const items = page.data?.items ?? [];
  const next = page.data?.next_cursor ?? undefined;

  return (
    <Stack gap="sm">
      {(filters.length > 0 || props.actions || sorts.length > 0) && (
        <Group justify="space-between" align="flex-end" gap="sm">
          <ListFilters filters={filters} values={values} sorts={sorts} sort={sort} columns={columns} change={change} />
          {props.actions && <Group gap="xs">{props.actions}</Group>}
        </Group>
      )}
      {page.isError && <ProblemAlert error={page.error} retry={() => page.refetch()} />}
      {page.isPending && (
        <Stack gap={6} role="status" aria-label={t.common.loading}>
          {[0, 1, 2, 3, 4].map((row) => (
            <Skeleton key={row} height={36} />
          ))}
        </Stack>
      )}
      {page.isSuccess && items.length === 0 && (
        <Text className="panel" ta="center" py="xl" role="status">
          {filtered || cursor ? t.common.list.nothingFound : (empty ?? t.common.list.nothing)}
        </Text>
      )}
      {items.length > 0 && (
        <ListTable
          label={label}
          items={items}
          columns={columns}
          rowKey={rowKey}
          sorts={sorts}
          sort={sort}
          change={change}
          stale={page.isPlaceholderData}
        />
      )}
      <ListPager
        label={label}
        shown={items.length}
        toNext={
          next &&
          (() => setSearch({ [`${prefix}cursor`]: next }, { push: true, trail: [...(trail ?? []), cursor ?? ''] }))
        }
        toPrevious={
          cursor && trail && trail.length > 0
            ? () =>
                setSearch({ [`${prefix}cursor`]: trail.at(-1) || undefined }, { push: true, trail: trail.slice(0, -1) })
            : undefined
        }
        toFirst={cursor ? () => setSearch({ [`${prefix}cursor`]: undefined }, { push: true }) : undefined}
      />
    </Stack>
  );
}
