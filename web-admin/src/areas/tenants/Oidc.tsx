import { Button, Fieldset, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, ifMatch, read, type Schemas, take, takeTrial } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { asProblem } from '@/client/problem';
import { CopyButton } from '@/parts/CopyButton';
import { DestroyButton } from '@/parts/DestroyButton';
import { FormFoot } from '@/parts/FormFoot';
import { ChoiceField, LinesField, TextField } from '@/parts/fields';
import { Loading } from '@/parts/Loading';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { t } from '@/text';

const words = t.tenants;

type Issuer = Schemas['OidcIssuer'];
type Body = Schemas['OidcIssuerSet'];

const roles = (Object.entries(t.shell.roles) as [Schemas['RoleWord'], string][])
  .filter(([value]) => value !== 'platform-admin')
  .map(([value, label]) => ({ value, label }));

async function issuerOf(slug: string) {
  try {
    return await read(api.GET('/v1/tenants/{slug}/oidc', { params: { path: { slug } } }));
  } catch (error) {
    if (asProblem(error).code === 'not-found') return null;
    throw error;
  }
}

/**
 * The issuer that signs a tenant's people in. It is asked for where one is in force, and else only when somebody wants to set
 * one: most tenants have none.
 */
export function Oidc({ tenant }: { tenant: string }) {
  const writes = useMay()('admins:write');
  const [wanted, setWanted] = useState(false);
  const methods = useQuery({
    queryKey: ['tenants', tenant, 'methods'],
    queryFn: () => take(api.GET('/v1/sign-in/methods', { params: { query: { tenant } } })),
  });
  const asks = wanted || methods.data?.oidc === true;
  const issuer = useQuery({ queryKey: ['tenants', tenant, 'oidc'], queryFn: () => issuerOf(tenant), enabled: asks });
  return (
    <Section title={words.oidc}>
      <ProblemAlert error={methods.error ?? issuer.error} />
      {(methods.isPending || (asks && issuer.isPending)) && <Loading />}
      {methods.isSuccess && !asks && (
        <Group>
          <Text>{words.oidcNone}</Text>
          {writes && (
            <Button variant="default" onClick={() => setWanted(true)}>
              {words.oidcSet}
            </Button>
          )}
        </Group>
      )}
      {asks && issuer.isSuccess && <IssuerForm tenant={tenant} there={issuer.data?.value} etag={issuer.data?.etag} />}
    </Section>
  );
}

function IssuerForm({ tenant, there, etag }: { tenant: string; there: Issuer | undefined; etag: string | undefined }) {
  const writes = useMay()('admins:write');
  const queries = useQueryClient();
  const params = { path: { slug: tenant }, header: ifMatch(etag) };
  const refresh = ['tenants', tenant, 'oidc'];
  const form = useForm<Body>({
    base: there,
    send: (typed) => {
      // What is put replaces what was; all of it is sent but the secret, which stays where none is typed.
      const { created_at: _, has_client_secret: __, redirect_uri: ___, ...kept } = there ?? ({} as Issuer);
      return take(api.PUT('/v1/tenants/{slug}/oidc', { params, body: { ...kept, ...typed } as Body }));
    },
    refresh,
    done: () => told(t.common.saved),
  });
  return (
    <form onSubmit={form.submit}>
      <Fieldset variant="unstyled" disabled={!writes}>
        <Stack gap="sm">
          <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="sm">
            <TextField field={form.field('/issuer')} label={words.issuer} inputMode="url" />
            <TextField field={form.field('/client_id')} label={words.clientId} />
            <TextField
              field={form.field('/client_secret')}
              label={words.clientSecret}
              hint={there?.has_client_secret ? words.clientSecretHint : undefined}
              password
              autoComplete="new-password"
            />
            <ChoiceField
              field={form.field('/default_role')}
              label={words.defaultRole}
              options={roles}
              empty={words.noRole}
            />
            <LinesField field={form.field('/allowed_domains')} label={words.allowedDomains} />
            <LinesField field={form.field('/extra_scopes')} label={words.extraScopes} />
          </SimpleGrid>
          {there && (
            <Group gap="xs">
              <Text size="sm" className="wrap">
                {words.redirect}: {there.redirect_uri ?? words.redirectNone}
              </Text>
              {there.redirect_uri && <CopyButton text={there.redirect_uri} of={words.redirect} />}
            </Group>
          )}
        </Stack>
      </Fieldset>
      {writes && <FormFoot form={form} label={words.oidcSet} />}
      {writes && there && (
        <Group mt="sm">
          <DestroyButton
            title={words.oidcRemoveTitle}
            verb={words.oidcRemove}
            target={tenant}
            trial={() =>
              takeTrial(api.DELETE('/v1/tenants/{slug}/oidc', { params: { ...params, query: { dry_run: true } } }))
            }
            act={() => take(api.DELETE('/v1/tenants/{slug}/oidc', { params }))}
            done={() => void queries.invalidateQueries({ queryKey: refresh })}
          >
            <Text size="sm">{words.oidcRemoveDetail}</Text>
          </DestroyButton>
        </Group>
      )}
    </form>
  );
}
