import { Checkbox, Fieldset, SimpleGrid, Stack } from '@mantine/core';
import type { Field } from '@/client/form';
import { LinesField } from '@/parts/fields';
import { t } from '@/text';

const words = t.webhooks;
const ALL = '*';
const kinds = Object.entries(words.kinds);
const isListed = (event: string) => event === ALL || event in words.kinds;

/** All events, those of some kinds, and single ones by their names. */
export function EventsField({ field }: { field: Field<string[]> | Field<string[] | undefined> }) {
  const events = field.value ?? [];
  const others = events.filter((event) => !isListed(event));
  const toggle = (event: string, on: boolean) =>
    field.onChange(on ? [...events, event] : events.filter((each) => each !== event));
  const all = events.includes(ALL);
  return (
    <Fieldset legend={words.events}>
      <Stack gap="sm">
        <Checkbox
          label={words.allEvents}
          checked={all}
          onChange={(event) => field.onChange(event.currentTarget.checked ? [ALL] : [])}
        />
        <SimpleGrid cols={{ base: 1, xs: 2, lg: 3 }} spacing="xs" verticalSpacing={6}>
          {kinds.map(([event, label]) => (
            <Checkbox
              key={event}
              label={label}
              checked={all || events.includes(event)}
              disabled={all}
              onChange={({ currentTarget }) => toggle(event, currentTarget.checked)}
            />
          ))}
        </SimpleGrid>
        <LinesField
          field={{
            name: field.name,
            value: others,
            onChange: (lines: string[]) => field.onChange([...events.filter(isListed), ...lines]),
            error: field.error,
          }}
          label={words.otherEvents}
          hint={words.otherEventsHint}
          disabled={all}
        />
      </Stack>
    </Fieldset>
  );
}
