import { ActionIcon, Button, Group, NativeSelect, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import type { Role } from '@/areas/admins/roles';
import type { Field } from '@/client/form';
import { Icon } from '@/parts/Icon';
import { number, t } from '@/text';

const words = t.admins.oidc;

type Roles = Record<string, Role>;

interface Props {
  field: Field<Roles>;
  roles: readonly { value: Role; label: string }[];
}

/** Which value of a claim gives which role: a row each. A row whose value is empty is one in the making, and is not sent. */
export function RolesField({ field, roles }: Props) {
  const [typed, setTyped] = useState<[string, Role][] | null>(null);
  const given = field.value ?? {};
  const mapOf = (rows: [string, Role][]): Roles => Object.fromEntries(rows.filter(([value]) => value !== ''));
  // Rows in the making are kept only as long as they say what the form has: it may have been reset, or read again.
  const fits = typed !== null && JSON.stringify(mapOf(typed)) === JSON.stringify(given);
  const rows = fits ? typed : (Object.entries(given) as [string, Role][]);
  const change = (next: [string, Role][]) => {
    setTyped(next);
    field.onChange(mapOf(next));
  };
  const set = (index: number, row: [string, Role]) => change(rows.map((each, at) => (at === index ? row : each)));
  const first = roles[0]?.value ?? 'auditor';
  return (
    <Stack gap={6}>
      <Text size="sm" fw={500}>
        {words.roles}
      </Text>
      {rows.map(([value, role], index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a row is its place; its value is being typed
        <Group key={index} gap="xs" wrap="nowrap">
          <TextInput
            flex={1}
            aria-label={words.roleValue(number(index + 1))}
            value={value}
            onChange={(event) => set(index, [event.currentTarget.value, role])}
            spellCheck={false}
            autoCapitalize="none"
          />
          <NativeSelect
            flex={1}
            aria-label={words.roleOf(number(index + 1))}
            value={role}
            data={[...roles]}
            onChange={(event) => set(index, [value, event.currentTarget.value as Role])}
          />
          <ActionIcon
            variant="default"
            size={36}
            aria-label={words.removeRole(value || number(index + 1))}
            onClick={() => change(rows.filter((_, at) => at !== index))}
          >
            <Icon name="cross" size={16} />
          </ActionIcon>
        </Group>
      ))}
      {field.error && (
        <Text size="sm" c="var(--mantine-color-error)" role="alert">
          {field.error}
        </Text>
      )}
      <div>
        <Button size="xs" variant="default" onClick={() => change([...rows, ['', first]])}>
          {words.addRole}
        </Button>
      </div>
    </Stack>
  );
}
