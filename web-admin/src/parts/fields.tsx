import { Checkbox, Group, NativeSelect, PasswordInput, Textarea, TextInput } from '@mantine/core';
import { useState } from 'react';
import type { Field } from '@/client/form';
import { t } from '@/text';

interface Common {
  label: string;
  hint?: string;
  required?: boolean;
  disabled?: boolean;
}

const props = ({ label, hint, required, disabled }: Common) => ({ label, description: hint, required, disabled });

interface TextProps extends Common {
  field: Field<string | null | undefined>;
  password?: boolean;
  autoComplete?: string;
  inputMode?: 'numeric' | 'email' | 'url';
  /** What is sent when it is empty; an empty text without it. */
  empty?: null;
  maxLength?: number;
  type?: 'email' | 'datetime-local';
}

export function TextField({
  field,
  password,
  autoComplete = 'off',
  inputMode,
  empty,
  maxLength,
  ...common
}: TextProps) {
  const Input = password ? PasswordInput : TextInput;
  return (
    <Input
      {...props(common)}
      name={field.name}
      value={field.value ?? ''}
      onChange={(event) =>
        field.onChange(event.currentTarget.value === '' && empty === null ? null : event.currentTarget.value)
      }
      error={field.error}
      autoComplete={autoComplete}
      inputMode={inputMode}
      maxLength={maxLength}
      spellCheck={false}
      autoCapitalize="none"
    />
  );
}

interface NumberProps extends Common {
  field: Field<number | null | undefined>;
  min?: number;
  max?: number;
}

/** A whole number; empty is null, which is "no limit" or "as above". */
export function NumberField({ field, min = 0, max, ...common }: NumberProps) {
  return (
    <TextInput
      {...props(common)}
      type="number"
      name={field.name}
      value={field.value ?? ''}
      min={min}
      max={max}
      step={1}
      onChange={(event) => field.onChange(event.currentTarget.value === '' ? null : Number(event.currentTarget.value))}
      error={field.error}
    />
  );
}

const units = [
  { label: 'MB', size: 1e6 },
  { label: 'GB', size: 1e9 },
  { label: 'TB', size: 1e12 },
] as const;

const fitting = (value: number | null | undefined) =>
  [...units].reverse().find((unit) => value && value % (unit.size / 1000) === 0 && value >= unit.size) ??
  (value ? units[0] : units[1]);

/** Octets in the unit that suits them. What is typed is rounded to whole octets. */
export function OctetsField({ field, ...common }: Omit<NumberProps, 'min' | 'max'>) {
  const [chosen, setChosen] = useState<(typeof units)[number] | null>(null);
  const unit = chosen ?? fitting(field.value);
  const number = field.value == null ? '' : String(field.value / unit.size);
  return (
    <Group gap="xs" align="flex-end" wrap="nowrap">
      <TextInput
        {...props(common)}
        flex={1}
        type="number"
        name={field.name}
        min={0}
        step="any"
        value={number}
        onChange={({ currentTarget: { value } }) => {
          setChosen(unit);
          field.onChange(value === '' ? null : Math.round(Number(value) * unit.size));
        }}
        error={field.error}
      />
      <NativeSelect
        aria-label={`${common.label}: ${t.common.unit}`}
        data={units.map((each) => each.label)}
        value={unit.label}
        disabled={common.disabled}
        mb={field.error ? 21 : 0}
        onChange={({ currentTarget: { value } }) => {
          const next = units.find((each) => each.label === value) ?? unit;
          setChosen(next);
          if (field.value != null) field.onChange(Math.round((field.value / unit.size) * next.size));
        }}
      />
    </Group>
  );
}

interface ChoiceProps<V extends string> extends Common {
  field: Field<V | null | undefined>;
  options: readonly { value: V; label: string }[];
  /** The text of "nothing chosen", which sends null. */
  empty?: string;
}

/** The choices of a field by their words. */
export const optionsOf = <V extends string>(words: Record<V, string>) =>
  (Object.entries(words) as [V, string][]).map(([value, label]) => ({ value, label }));

export function ChoiceField<V extends string>({ field, options, empty, ...common }: ChoiceProps<V>) {
  return (
    <NativeSelect
      {...props(common)}
      name={field.name}
      value={field.value ?? ''}
      onChange={(event) => field.onChange((event.currentTarget.value || null) as V | null)}
      data={[...(empty === undefined ? [] : [{ value: '', label: empty }]), ...options]}
      error={field.error}
    />
  );
}

interface LinesProps extends Common {
  field: Field<string[] | null | undefined>;
  rows?: number;
}

/** A list, one item a line. */
export function LinesField({ field, rows = 3, ...common }: LinesProps) {
  // What is typed is kept as it is: an empty line in the making is no item yet.
  const [typed, setTyped] = useState<string | null>(null);
  const lines = (text: string) =>
    text
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean);
  const items = field.value ?? [];
  const fits = typed !== null && lines(typed).join('\n') === items.join('\n');
  return (
    <Textarea
      {...props(common)}
      name={field.name}
      rows={rows}
      value={fits ? typed : items.join('\n')}
      onChange={({ currentTarget: { value } }) => {
        setTyped(value);
        field.onChange(lines(value));
      }}
      error={field.error}
      spellCheck={false}
      autoCapitalize="none"
    />
  );
}

interface CheckProps extends Common {
  field: Field<boolean | null | undefined>;
}

export function CheckField({ field, ...common }: CheckProps) {
  return (
    <Checkbox
      {...props(common)}
      name={field.name}
      checked={field.value ?? false}
      onChange={(event) => field.onChange(event.currentTarget.checked)}
      error={field.error}
    />
  );
}

interface TimeProps extends Common {
  field: Field<string | null | undefined>;
}

/** A day and a time in the reader's own zone; empty is null. */
export function TimeField({ field, ...common }: TimeProps) {
  return (
    <TextInput
      {...props(common)}
      type="datetime-local"
      name={field.name}
      value={field.value ? localTime(field.value) : ''}
      onChange={({ currentTarget: { value } }) => field.onChange(value ? new Date(value).toISOString() : null)}
      error={field.error}
    />
  );
}

/** What an input of the type `datetime-local` shows for a time of the API. */
export function localTime(at: string): string {
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
