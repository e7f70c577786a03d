import { Button, Group, TextInput } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { useAddress } from '@/app/search';
import { usePlatform } from '@/client/me';
import { t } from '@/text';

const words = t.overview;

export type Range = keyof typeof words.ranges;

const ranges = Object.keys(words.ranges) as Range[];

/** What the address asks for: which time, and of which tenant. */
export function useAsked(): { range: Range; tenant: string | undefined } {
  const [search] = useAddress();
  const platform = usePlatform();
  return {
    range: ranges.find((range) => range === search.hours) ?? '24',
    tenant: (platform && search.tenant) || undefined,
  };
}

/** Chooses the time and the tenant; both stand in the address. */
export function Asked() {
  const platform = usePlatform();
  const { range, tenant } = useAsked();
  const [, setSearch] = useAddress();
  return (
    <Group gap="sm" align="flex-end">
      {platform && <OfTenant key={tenant} tenant={tenant} />}
      <Button.Group aria-label={words.range}>
        {ranges.map((each) => (
          <Button
            key={each}
            size="xs"
            variant={each === range ? 'filled' : 'default'}
            aria-pressed={each === range}
            onClick={() => setSearch({ hours: each === '24' ? undefined : each })}
          >
            {words.ranges[each]}
          </Button>
        ))}
      </Button.Group>
    </Group>
  );
}

function OfTenant({ tenant }: { tenant: string | undefined }) {
  const [, setSearch] = useAddress();
  const [typed, setTyped] = useState(tenant ?? '');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setSearch({ tenant: typed.trim().toLowerCase() || undefined });
  };
  return (
    <Group component="form" gap={4} wrap="nowrap" onSubmit={submit}>
      <TextInput
        size="xs"
        aria-label={words.tenant}
        placeholder={words.tenantAll}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
        autoComplete="off"
        spellCheck={false}
        autoCapitalize="none"
        w={150}
      />
      <Button size="xs" type="submit" variant="default">
        {words.tenantShow}
      </Button>
    </Group>
  );
}
