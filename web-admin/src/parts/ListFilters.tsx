import { Button, Group, NativeSelect, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useState } from 'react';
import { t } from '@/text';
import { localTime } from './fields';
import type { Column } from './ListTable';

export interface Filter {
  /** The parameter of the API, and the name in the address. */
  key: string;
  label: string;
  /** With options a choice, without a text; `time` is a day and a time of the reader's own zone. */
  options?: readonly { value: string; label: string }[];
  kind?: 'text' | 'time';
}

interface Props<T> {
  filters: readonly Filter[];
  values: Record<string, string | undefined>;
  sorts: readonly string[];
  sort: string | undefined;
  columns: readonly Column<T>[];
  change: (changes: Record<string, string | undefined>) => void;
}

/** What the API orders by, in words: the column's own, or the word itself. */
function sortLabel<T>(sort: string, columns: readonly Column<T>[]): string {
  const descending = sort.startsWith('-');
  const name = descending ? sort.slice(1) : sort;
  const title = columns.find((column) => column.sort === name)?.title ?? name;
  return descending ? t.common.list.descending(title) : t.common.list.ascending(title);
}

export function ListFilters<T>({ filters, values, sorts, sort, columns, change }: Props<T>) {
  const filtered = Object.values(values).some(Boolean);
  return (
    <Group component="search" aria-label={t.common.list.filters} gap="xs" align="flex-end">
      {filters.map((filter) => (
        <OneFilter
          key={filter.key}
          filter={filter}
          value={values[filter.key] ?? ''}
          change={(value) => change({ [filter.key]: value })}
        />
      ))}
      {sorts.length > 0 && (
        <NativeSelect
          label={t.common.list.sort}
          size="xs"
          value={sort ?? ''}
          onChange={(event) => change({ sort: event.currentTarget.value || undefined })}
          data={[
            { value: '', label: t.common.list.sortDefault },
            ...sorts.map((value) => ({ value, label: sortLabel(value, columns) })),
          ]}
        />
      )}
      {filtered && (
        <Button
          size="xs"
          variant="subtle"
          onClick={() => change(Object.fromEntries(filters.map(({ key }) => [key, undefined])))}
        >
          {t.common.list.clear}
        </Button>
      )}
    </Group>
  );
}

function OneFilter({ filter, value, change }: { filter: Filter; value: string; change: (value: string) => void }) {
  if (filter.options) {
    return (
      <NativeSelect
        label={filter.label}
        size="xs"
        value={value}
        onChange={(event) => change(event.currentTarget.value)}
        data={[{ value: '', label: t.common.all }, ...filter.options]}
      />
    );
  }
  return filter.kind === 'time' ? (
    <TextInput
      label={filter.label}
      size="xs"
      type="datetime-local"
      value={value ? localTime(value) : ''}
      onChange={({ currentTarget: { value: typed } }) => change(typed ? new Date(typed).toISOString() : '')}
    />
  ) : (
    <TextFilter label={filter.label} value={value} change={change} />
  );
}

/** A text that filters while it is typed, a moment after the last key. */
function TextFilter({ label, value, change }: { label: string; value: string; change: (value: string) => void }) {
  const [typed, setTyped] = useState<string | null>(null);
  const later = useDebouncedCallback((text: string) => {
    change(text.trim());
    setTyped(null);
  }, 300);
  return (
    <TextInput
      label={label}
      size="xs"
      type="search"
      value={typed ?? value}
      onChange={({ currentTarget: { value: text } }) => {
        setTyped(text);
        later(text);
      }}
      spellCheck={false}
      autoCapitalize="none"
      autoComplete="off"
    />
  );
}
