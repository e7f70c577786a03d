import { Button, Fieldset, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { api, ifMatch, type Schemas, take, takeTrial } from '@/client/api';
import { type Form, useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { DestroyButton } from '@/parts/DestroyButton';
import { FormFoot } from '@/parts/FormFoot';
import { NumberField, OctetsField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { PolicyFields } from '@/parts/PolicyFields';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { t } from '@/text';
import type { TabProps } from './Account';

const words = t.accounts;

export default function Settings({ account, etag }: TabProps) {
  const writes = useMay()('accounts:write');
  const params = { path: { address: account.address }, header: ifMatch(etag) };
  const form = useForm<Schemas['AccountPatch']>({
    base: account,
    send: (body) => take(api.PATCH('/v1/accounts/{address}', { params, body })),
    refresh: ['accounts'],
    done: () => told(t.common.saved),
  });
  return (
    <Stack>
      {account.status !== 'deleted' && (
        <form onSubmit={form.submit}>
          <Fieldset variant="unstyled" disabled={!writes}>
            <Stack>
              <Section title={words.quota}>
                <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
                  <OctetsField field={form.field('/quota/octets')} label={words.quotaOctets} />
                  <NumberField field={form.field('/quota/messages')} label={words.quotaMessages} />
                  <NumberField field={form.field('/quota/deliveries_per_hour')} label={words.quotaDeliveries} />
                </SimpleGrid>
                <Text size="sm" c="dimmed" mt="xs">
                  {t.common.unlimitedHint}
                </Text>
              </Section>
              <Section title={t.policy.title}>
                <Text size="sm" c="dimmed" mb="sm">
                  {t.policy.hint}
                </Text>
                <PolicyFields form={form as unknown as Form<Schemas['TenantPatch']>} level="account" />
                {writes && <FormFoot form={form} />}
              </Section>
            </Stack>
          </Fieldset>
        </form>
      )}
      {writes && <Life account={account} etag={etag} />}
    </Stack>
  );
}

function Life({ account, etag }: TabProps) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const params = { path: { address: account.address }, header: ifMatch(etag) };
  const reread = () => queries.invalidateQueries({ queryKey: ['accounts'] });
  const become = useMutation({
    mutationFn: () => take(api.PATCH('/v1/accounts/{address}', { params, body: { status: 'active' } })),
    onSuccess: () => told(words.resumed),
    onSettled: reread,
  });
  const restore = useMutation({
    mutationFn: () => take(api.POST('/v1/accounts/{address}/restore', { params: { path: params.path } })),
    onSuccess: () => told(words.restored),
    onSettled: reread,
  });
  const suspend = (dry_run?: true) =>
    api.PATCH('/v1/accounts/{address}', { params: { ...params, query: { dry_run } }, body: { status: 'suspended' } });
  const remove = (cascade: boolean, dry_run?: true) =>
    api.DELETE('/v1/accounts/{address}', { params: { ...params, query: { cascade, dry_run } } });
  return (
    <Section title={words.state}>
      <ProblemAlert error={become.error ?? restore.error} />
      <Group gap="xs">
        {account.status === 'suspended' && (
          <Button onClick={() => become.mutate()} loading={become.isPending}>
            {words.resume}
          </Button>
        )}
        {account.status === 'active' && (
          <DestroyButton
            title={words.suspendTitle}
            verb={words.suspend}
            target={account.address}
            trial={() => takeTrial(suspend(true))}
            act={() => take(suspend())}
            done={() => {
              told(words.suspendedDone);
              void reread();
            }}
          >
            <Text size="sm">{words.suspendDetail}</Text>
          </DestroyButton>
        )}
        {account.status === 'deleted' ? (
          <Button onClick={() => restore.mutate()} loading={restore.isPending}>
            {words.restore}
          </Button>
        ) : (
          <DestroyButton
            title={words.deleteTitle}
            verb={t.common.delete}
            target={account.address}
            cascade={words.cascade}
            trial={(cascade) => takeTrial(remove(cascade, true))}
            act={(cascade) => take(remove(cascade))}
            done={() => {
              told(words.deletedDone);
              void navigate({ to: '/accounts' }).then(reread);
            }}
          >
            <Text size="sm">{words.deleteDetail}</Text>
          </DestroyButton>
        )}
      </Group>
    </Section>
  );
}
