import { Anchor, Button, Stack, Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { t } from '@/text';

const words = t.signIn;

interface Methods {
  password: boolean;
  oidc: boolean;
}

async function methodsOf(tenant: string | undefined): Promise<Methods> {
  const answer = await fetch(`/v1/sign-in/methods${tenant ? `?tenant=${encodeURIComponent(tenant)}` : ''}`);
  return answer.ok ? ((await answer.json()) as Methods) : { password: true, oidc: false };
}

export const issuerOf = (tenant: string | undefined) =>
  `/v1/sign-in/oidc${tenant ? `?tenant=${encodeURIComponent(tenant)}` : ''}`;

interface Props {
  tenant: string | undefined;
  choose: (tenant: string | undefined) => void;
  leave: () => void;
}

/** The sign-in at an issuer, of the platform or of a tenant, where there is one. */
export function Organisation({ tenant, choose, leave }: Props) {
  const methods = useQuery({
    queryKey: ['sign-in-methods', tenant ?? ''],
    queryFn: () => methodsOf(tenant),
    staleTime: 60_000,
  });
  const [asking, setAsking] = useState(false);
  const [typed, setTyped] = useState(tenant ?? '');
  const go = (event: FormEvent) => {
    event.preventDefault();
    choose(typed.trim() || undefined);
    setAsking(false);
  };
  return (
    <Stack gap="xs">
      {methods.data?.oidc && (
        <Button component="a" href={issuerOf(tenant)} variant="default" onClick={leave}>
          {tenant ? words.oidcOf(tenant) : words.oidc}
        </Button>
      )}
      {tenant && methods.data && !methods.data.oidc && (
        <Text size="sm" role="status">
          {words.organisationNone}
        </Text>
      )}
      {asking ? (
        <form onSubmit={go}>
          <Stack gap="xs">
            <TextInput
              label={words.organisation}
              description={words.organisationHint}
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
              autoCapitalize="none"
              spellCheck={false}
              autoComplete="organization"
            />
            <Button type="submit" variant="default">
              {words.organisationGo}
            </Button>
          </Stack>
        </form>
      ) : (
        <Anchor component="button" type="button" size="sm" onClick={() => setAsking(true)}>
          {words.organisationShow}
        </Anchor>
      )}
    </Stack>
  );
}
