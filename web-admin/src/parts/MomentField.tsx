import { TextInput } from '@mantine/core';
import type { Field } from '@/client/form';

interface Props {
  label: string;
  hint?: string;
  field: Field<string | null> | Field<string | null | undefined>;
}

const localTime = (at: string) => {
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};

/** A day and a time of the reader's own zone, sent in UTC; empty is null. */
export function MomentField({ label, hint, field }: Props) {
  const change = field.onChange as (value: string | null) => void;
  return (
    <TextInput
      label={label}
      description={hint}
      type="datetime-local"
      name={field.name}
      value={field.value ? localTime(field.value) : ''}
      onChange={({ currentTarget: { value } }) => change(value ? new Date(value).toISOString() : null)}
      error={field.error}
    />
  );
}
