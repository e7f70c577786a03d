import { Alert, Code, Group, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useAddress } from '@/app/search';
import { useMay, useMe } from '@/client/me';
import { CopyButton } from '@/parts/CopyButton';
import { DestroyButton } from '@/parts/DestroyButton';
import { Icon } from '@/parts/Icon';
import { Loading } from '@/parts/Loading';
import { told } from '@/parts/notify';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { issuerOf } from './calls';
import { IssuerForm } from './IssuerForm';

const words = t.admins.oidc;

/** The issuer of the platform or, for its own people or named in the address, of a tenant. */
export function Page() {
  const me = useMe();
  const write = useMay()('admins:write');
  const queries = useQueryClient();
  const [search] = useAddress();
  const tenant = me.tenant ?? search.tenant ?? null;
  const calls = issuerOf(tenant);
  const got = useQuery({ queryKey: ['oidc', tenant], queryFn: calls.get });
  if (got.isError) return <ProblemAlert error={got.error} retry={() => got.refetch()} />;
  if (got.isPending) return <Loading />;
  const etag = got.data?.etag;
  const issuer = got.data?.value;
  return (
    <>
      <PageHead
        title={tenant ? words.titleOf(tenant) : words.title}
        actions={
          write &&
          issuer && (
            <DestroyButton
              verb={words.remove}
              title={words.removeTitle}
              target={issuer.issuer}
              trial={() => calls.tryRemove(etag)}
              act={() => calls.remove(etag)}
              done={() => {
                told(words.removed);
                void queries.invalidateQueries({ queryKey: ['oidc'] });
              }}
            >
              <Text>{words.removeDetail}</Text>
            </DestroyButton>
          )
        }
      />
      <Stack>
        <Text>{words.about}</Text>
        {issuer && !issuer.redirect_uri && (
          <Alert color="orange" icon={<Icon name="warning" />} title={words.noRedirect} />
        )}
        <Section title={t.common.details}>
          {issuer ? (
            <Facts
              of={[
                [words.issuer, issuer.issuer],
                [words.clientId, issuer.client_id],
                [words.since, <Time key="s" at={issuer.created_at} exact />],
                ...(issuer.redirect_uri
                  ? [
                      [
                        words.redirect,
                        <Group key="r" gap="xs">
                          <Code className="wrap">{issuer.redirect_uri}</Code>
                          <CopyButton text={issuer.redirect_uri} of={words.redirect} />
                        </Group>,
                      ] as const,
                    ]
                  : []),
              ]}
            />
          ) : (
            <Text>{words.none}</Text>
          )}
        </Section>
        {write && <IssuerForm key={tenant} tenant={tenant} got={got.data} />}
      </Stack>
    </>
  );
}
