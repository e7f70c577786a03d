import { TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useId } from 'react';
import { api, take } from '@/client/api';
import type { Field } from '@/client/form';
import { t } from '@/text';

interface Props {
  field: Field<string | null> | Field<string | null | undefined> | Field<string>;
  hint?: string;
  required?: boolean;
}

/** Whose it is to be: for the platform's own people, who name a tenant or leave it to the platform. */
export function TenantField({ field, hint, required }: Props) {
  const id = useId();
  const change = field.onChange as (value: string | null) => void;
  const [asked] = useDebouncedValue(field.value ?? '', 150);
  const found = useQuery({
    queryKey: ['search', asked],
    queryFn: () => take(api.GET('/v1/search', { params: { query: { q: asked } } })),
    enabled: asked !== '',
    placeholderData: keepPreviousData,
  });
  const slugs = (found.data?.items ?? []).filter(({ kind }) => kind === 'tenant').map(({ key }) => key);
  return (
    <>
      <TextInput
        label={t.common.tenant}
        description={hint}
        required={required}
        name={field.name}
        value={field.value ?? ''}
        onChange={(event) => change(event.currentTarget.value.trim() || null)}
        error={field.error}
        list={id}
        autoComplete="off"
        spellCheck={false}
        autoCapitalize="none"
      />
      <datalist id={id}>
        {slugs.map((slug) => (
          <option key={slug} value={slug} />
        ))}
      </datalist>
    </>
  );
}
