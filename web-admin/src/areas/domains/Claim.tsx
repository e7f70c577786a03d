import { Button, Code, Group, Stack, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { api, ifMatch, type Schemas, take } from '@/client/api';
import { useMay } from '@/client/me';
import { CopyButton } from '@/parts/CopyButton';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.domains;

/** How a claim is proved: by the record that is shown, or by the operator's word. */
export function Claim({ domain, etag }: { domain: Schemas['Domain']; etag: string | undefined }) {
  const may = useMay();
  const queries = useQueryClient();
  const verify = useMutation({
    mutationFn: (vouch: boolean) =>
      take(
        api.POST('/v1/domains/{name}/verify', {
          params: { path: { name: domain.name }, query: { tenant: domain.tenant }, header: ifMatch(etag) },
          body: vouch ? { vouch } : {},
        }),
      ),
    onSuccess: () => told(words.verifiedDone),
    onSettled: () => queries.invalidateQueries({ queryKey: ['domains'] }),
  });
  return (
    <Section title={words.claim}>
      <Stack gap="sm">
        <Text size="sm">{words.claimDetail}</Text>
        <Facts
          of={[
            [words.claimName, <Code key="n">{`_restante-challenge.${domain.name}`}</Code>],
            [
              words.claimText,
              <Group key="t" gap="xs">
                <Code className="wrap">{domain.challenge}</Code>
                <CopyButton text={domain.challenge} of={words.claimText} />
              </Group>,
            ],
            ...(domain.claim_expires_at
              ? [[words.claimExpires, <Time key="e" at={domain.claim_expires_at} />] as const]
              : []),
          ]}
        />
        <ProblemAlert error={verify.error} />
        <Group gap="xs">
          {may('domains:write') && (
            <Button loading={verify.isPending && !verify.variables} onClick={() => verify.mutate(false)}>
              {words.verify}
            </Button>
          )}
          {may('domains:vouch') && (
            <Button
              variant="default"
              title={words.vouchDetail}
              loading={verify.isPending && verify.variables}
              onClick={() => verify.mutate(true)}
            >
              {words.vouch}
            </Button>
          )}
        </Group>
      </Stack>
    </Section>
  );
}
