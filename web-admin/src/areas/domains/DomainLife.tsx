import { Button, Group, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { api, ifMatch, type Schemas, take, takeTrial } from '@/client/api';
import { DestroyButton } from '@/parts/DestroyButton';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { t } from '@/text';

const words = t.domains;

export function DomainLife({ domain, etag }: { domain: Schemas['Domain']; etag: string | undefined }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const path = { name: domain.name };
  const { tenant } = domain;
  const reread = () => queries.invalidateQueries({ queryKey: ['domains'] });
  const restore = useMutation({
    mutationFn: () => take(api.POST('/v1/domains/{name}/restore', { params: { path, query: { tenant } } })),
    onSuccess: () => told(words.restored),
    onSettled: reread,
  });
  const remove = (cascade: boolean, dry_run?: true) =>
    api.DELETE('/v1/domains/{name}', {
      params: { path, query: { tenant, cascade, dry_run }, header: ifMatch(etag) },
    });
  return (
    <Section title={words.delete}>
      <ProblemAlert error={restore.error} />
      <Group>
        {domain.deleted_at ? (
          <Button onClick={() => restore.mutate()} loading={restore.isPending}>
            {words.restore}
          </Button>
        ) : (
          <DestroyButton
            title={words.deleteTitle}
            verb={t.common.delete}
            target={domain.name}
            cascade={words.cascade}
            trial={(cascade) => takeTrial(remove(cascade, true))}
            act={(cascade) => take(remove(cascade))}
            done={() => {
              told(words.deletedDone);
              void navigate({ to: '/domains' }).then(reread);
            }}
          >
            <Text size="sm">{words.deleteDetail}</Text>
          </DestroyButton>
        )}
      </Group>
    </Section>
  );
}
