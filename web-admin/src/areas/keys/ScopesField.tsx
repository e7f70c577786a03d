import { Checkbox, Fieldset, Radio, SimpleGrid, Stack, Text } from '@mantine/core';
import type { Field } from '@/client/form';
import { useMe } from '@/client/me';
import { t } from '@/text';

const words = t.keys;

/** All that the role may, or some of it. Offered is what the person may do: nobody gives what they do not have. */
export function ScopesField({ field }: { field: Field<string[] | null | undefined> }) {
  const { permissions } = useMe();
  const scopes = field.value ?? null;
  const toggle = (scope: string, on: boolean) =>
    field.onChange(permissions.filter((each) => (each === scope ? on : scopes?.includes(each))));
  return (
    <Fieldset legend={words.scopes}>
      <Radio.Group
        aria-label={words.scopes}
        value={scopes === null ? 'all' : 'some'}
        onChange={(value) => field.onChange(value === 'all' ? null : [])}
      >
        <Stack gap={6}>
          <Radio value="all" label={words.allScopes} />
          <Radio value="some" label={words.someScopes} />
        </Stack>
      </Radio.Group>
      {scopes !== null && (
        <SimpleGrid cols={{ base: 1, xs: 2, lg: 3 }} spacing="xs" verticalSpacing={6} mt="sm">
          {permissions.map((scope) => (
            <Checkbox
              key={scope}
              label={scope}
              checked={scopes.includes(scope)}
              onChange={(event) => toggle(scope, event.currentTarget.checked)}
            />
          ))}
        </SimpleGrid>
      )}
      {field.error && (
        <Text size="sm" c="var(--mantine-color-error)" mt="xs" role="alert">
          {field.error}
        </Text>
      )}
    </Fieldset>
  );
}
