import { Group, Text } from '@mantine/core';
import type { Schemas } from '@/client/api';
import type { Column } from '@/parts/ResourceList';
import { Mark } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.profile;

/** What a list of sign-ins tells of each, one's own or somebody else's. */
export const signInColumns: readonly Column<Schemas['SignInSession']>[] = [
  {
    title: words.began,
    main: true,
    cell: (item) => (
      <Group gap="xs">
        <Time at={item.began_at} />
        {item.current && <Mark tone="busy">{words.current}</Mark>}
      </Group>
    ),
  },
  { title: words.method, cell: (item) => words.methods[item.method] },
  { title: words.address, cell: (item) => item.address ?? '–' },
  { title: words.client, cell: (item) => <Text size="sm">{item.client ?? '–'}</Text> },
  { title: words.lastUsed, cell: (item) => <Time at={item.refreshed_at} /> },
  { title: words.ends, cell: (item) => <Time at={item.ends_at} /> },
];
