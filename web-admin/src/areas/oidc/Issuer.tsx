import { Alert, Button, Code, Group, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, type Schemas, take, type Versioned } from '@/client/api';
import { useMay } from '@/client/me';
import { CopyButton } from '@/parts/CopyButton';
import { DestroyButton } from '@/parts/DestroyButton';
import { Icon } from '@/parts/Icon';
import { Loading } from '@/parts/Loading';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { issuerOf } from './calls';
import { IssuerForm } from './IssuerForm';

const words = t.admins.oidc;

/** The issuer that signs in the people of a tenant, or of the platform (null), if there is one. */
export function Issuer({ tenant }: { tenant: string | null }) {
  const write = useMay()('admins:write');
  const [wanted, setWanted] = useState(false);
  // Asked first, so that a page without an issuer makes no request that must fail.
  const methods = useQuery({
    queryKey: ['oidc', tenant, 'methods'],
    queryFn: () => take(api.GET('/v1/sign-in/methods', { params: { query: tenant ? { tenant } : {} } })),
  });
  const got = useQuery({
    queryKey: ['oidc', tenant],
    queryFn: issuerOf(tenant).get,
    enabled: wanted || methods.data?.oidc === true,
  });
  const error = methods.error ?? got.error;
  const asks = methods.isPending || got.isLoading;
  return (
    <>
      <Section title={words.section} actions={write && got.data && <Remove tenant={tenant} got={got.data} />}>
        {error ? <ProblemAlert error={error} retry={() => (methods.error ? methods : got).refetch()} /> : null}
        {asks && <Loading />}
        {!asks && !error && (got.data ? <Settings issuer={got.data.value} /> : <Text>{words.none}</Text>)}
        {methods.data?.oidc === false && !wanted && (
          <Button variant="default" mt="sm" onClick={() => setWanted(true)}>
            {write ? words.setUp : words.look}
          </Button>
        )}
      </Section>
      {write && got.isSuccess && <IssuerForm tenant={tenant} got={got.data} />}
    </>
  );
}

function Settings({ issuer }: { issuer: Schemas['OidcIssuer'] }) {
  const { redirect_uri: redirect } = issuer;
  return (
    <Stack gap="sm">
      {!redirect && <Alert color="orange" icon={<Icon name="warning" />} title={words.noRedirect} />}
      <Facts
        of={[
          [words.issuer, issuer.issuer],
          [words.clientId, issuer.client_id],
          [words.since, <Time key="s" at={issuer.created_at} exact />],
          ...(redirect
            ? [
                [
                  words.redirect,
                  <Group key="r" gap="xs">
                    <Code className="wrap">{redirect}</Code>
                    <CopyButton text={redirect} of={words.redirect} />
                  </Group>,
                ] as const,
              ]
            : []),
        ]}
      />
    </Stack>
  );
}

function Remove({ tenant, got }: { tenant: string | null; got: Versioned<Schemas['OidcIssuer']> }) {
  const queries = useQueryClient();
  const calls = issuerOf(tenant);
  return (
    <DestroyButton
      size="xs"
      verb={words.remove}
      title={words.removeTitle}
      target={got.value.issuer}
      trial={() => calls.tryRemove(got.etag)}
      act={() => calls.remove(got.etag)}
      done={() => {
        told(words.removed);
        queries.setQueryData(['oidc', tenant], null);
        void queries.invalidateQueries({ queryKey: ['oidc', tenant, 'methods'] });
      }}
    >
      <Text>{words.removeDetail}</Text>
    </DestroyButton>
  );
}
