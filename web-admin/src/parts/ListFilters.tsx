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
  /** The filters of which one has to be set for this one to mean anything. */
  needs?: readonly string[];
  /** Which those are, in words. */
  needsHint?: string;
}

/** Whether a filter counts: the API refuses some without others. */
export const counts = (filter: Filter, values: Record<string, string | undefined>) =>
  !filter.needs || filter.needs.some((key) => values[key]);

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
  const title = columns.find((column) => column.sort === name)?.title ?? t.common.list.orders[name] ?? name;
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
          disabled={!counts(filter, values)}
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

interface OneProps {
  filter: Filter;
  value: string;
  disabled: boolean;
  change: (value: string) => void;
}

function OneFilter({ filter, value, disabled, change }: OneProps) {
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
    <TextFilter label={filter.label} value={value} change={change} hint={disabled ? filter.needsHint : undefined} />
  );
}

/** A text that filters while it is typed, a moment after the last key. */
interface TextProps {
  label: string;
  value: string;
  change: (value: string) => void;
  /** Why it cannot be used. */
  hint: string | undefined;
}

function TextFilter({ label, value, change, hint }: TextProps) {
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
      disabled={hint !== undefined}
      placeholder={hint}
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
