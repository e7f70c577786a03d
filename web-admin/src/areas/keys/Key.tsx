import { Group, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { api, ifMatch, read, type Schemas, take, takeTrial, type Versioned } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay, useMe } from '@/client/me';
import { DestroyButton } from '@/parts/DestroyButton';
import { FormFoot } from '@/parts/FormFoot';
import { LinesField, TextField, TimeField } from '@/parts/fields';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { told } from '@/parts/notify';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Mark } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { isExpired } from './Keys';

const words = t.keys;

export function Page() {
  const { id } = useParams({ from: '/in/api-keys/$id' });
  const may = useMay();
  const me = useMe();
  const got = useQuery({
    queryKey: ['api-keys', id],
    queryFn: () => read(api.GET('/v1/api-keys/{id}', { params: { path: { id } } })),
  });
  if (got.isError) return <ProblemAlert error={got.error} retry={() => got.refetch()} />;
  if (!got.data) return <Loading />;
  const key = got.data.value;
  const write = may('api-keys:write');
  return (
    <>
      <PageHead
        title={key.name}
        trail={[
          <TextLink key="list" to="/api-keys">
            {words.title}
          </TextLink>,
        ]}
        badge={isExpired(key) && <Mark tone="bad">{words.expired}</Mark>}
        actions={write && <Revoke id={key.id} name={key.name} />}
      />
      <Stack>
        {me.id === key.id && <Text>{words.own}</Text>}
        <Section title={t.common.details}>
          <Facts
            of={[
              [t.common.tenant, key.tenant ?? t.shell.platform],
              [words.role, t.shell.roles[key.role]],
              ...(key.role === 'domain-admin'
                ? [[words.domains, key.domains.join(', ') || t.common.none] as const]
                : []),
              [words.scopes, key.scopes ? key.scopes.join(', ') || t.common.none : words.everything],
              [words.networks, key.allowed_networks.join(', ') || words.everywhere],
              [words.expires, <Time key="e" at={key.expires_at} exact />],
              [
                words.lastUsed,
                <span key="u">
                  <Time at={key.last_used_at} /> {key.last_address && words.from(key.last_address)}
                </span>,
              ],
              [t.common.created, <Time key="c" at={key.created_at} exact />],
            ]}
          />
          {may('audit:read') && (
            <Group mt="sm">
              <TextLink to="/audit" search={{ actor: key.id.replace('key_', 'api-key:') }} size="sm">
                {words.doings}
              </TextLink>
            </Group>
          )}
        </Section>
        {write && <KeyForm got={got.data} />}
      </Stack>
    </>
  );
}

function KeyForm({ got: { value: key, etag } }: { got: Versioned<Schemas['ApiKey']> }) {
  const form = useForm<Schemas['ApiKeyPatch']>({
    base: key,
    send: (body) =>
      take(api.PATCH('/v1/api-keys/{id}', { params: { path: { id: key.id }, header: ifMatch(etag) }, body })),
    refresh: ['api-keys'],
    done: () => told(t.common.saved),
  });
  return (
    <Section title={words.change}>
      <form onSubmit={form.submit}>
        <Stack gap="sm" maw={720}>
          <TextField field={form.field('/name')} label={words.name} required />
          <LinesField field={form.field('/allowed_networks')} label={words.networks} hint={words.networksHint} />
          <TimeField field={form.field('/expires_at')} label={words.expires} hint={words.expiresHint} />
        </Stack>
        <FormFoot form={form} />
      </form>
    </Section>
  );
}

function Revoke({ id, name }: { id: string; name: string }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const path = { id };
  return (
    <DestroyButton
      verb={words.revoke}
      title={words.revokeTitle(name)}
      target={name}
      trial={() => takeTrial(api.DELETE('/v1/api-keys/{id}', { params: { path, query: { dry_run: true } } }))}
      act={() => take(api.DELETE('/v1/api-keys/{id}', { params: { path } }))}
      done={async () => {
        told(words.revoked);
        await navigate({ to: '/api-keys' });
        queries.removeQueries({ queryKey: ['api-keys', id] });
        await queries.invalidateQueries({ queryKey: ['api-keys'] });
      }}
    >
      <Text>{words.revokeDetail}</Text>
    </DestroyButton>
  );
}
