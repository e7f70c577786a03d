import { Button, Group, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useSignOut } from '@/app/sign-out';
import { api, type Schemas, take } from '@/client/api';
import { useMe } from '@/client/me';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { Mark } from '@/parts/StatusBadge';
import { exactly, Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.profile;

type SignIn = Schemas['SignInSession'];

export function OwnSessions() {
  const me = useMe();
  const queries = useQueryClient();
  const leave = useSignOut();
  const end = useMutation({
    mutationFn: (id: string) => take(api.DELETE('/v1/sessions/{id}', { params: { path: { id } } })),
    onSuccess: async () => {
      told(words.ended);
      await queries.invalidateQueries({ queryKey: ['sessions'] });
    },
  });
  const columns: Column<SignIn>[] = [
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
    {
      title: words.end,
      quiet: true,
      right: true,
      cell: (item) =>
        !item.current && (
          <Button
            size="compact-sm"
            variant="default"
            aria-label={words.endLabel(exactly(item.began_at))}
            loading={end.isPending && end.variables === item.id}
            onClick={() => end.mutate(item.id)}
          >
            {words.end}
          </Button>
        ),
    },
  ];
  return (
    <Section
      title={words.sessions}
      actions={
        <Button size="xs" color="red" variant="outline" title={words.everywhereDetail} onClick={() => leave(true)}>
          {words.everywhere}
        </Button>
      }
    >
      <ProblemAlert error={end.error} />
      <ResourceList
        label={words.sessionsList}
        queryKey={['sessions']}
        fetch={({ limit, cursor }) =>
          take(api.GET('/v1/sessions', { params: { query: { limit, cursor, admin: me.id } } }))
        }
        columns={columns}
        rowKey={(item) => item.id}
      />
    </Section>
  );
}
