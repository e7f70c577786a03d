import { Button } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useSignOut } from '@/app/sign-out';
import { api, type Schemas, take } from '@/client/api';
import { useMe } from '@/client/me';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { exactly } from '@/parts/Time';
import { t } from '@/text';
import { signInColumns } from './sign-ins';

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
    ...signInColumns,
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
