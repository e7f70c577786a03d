import { Button, Group, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, type Schemas, take } from '@/client/api';
import { Icon } from '@/parts/Icon';
import { Loading } from '@/parts/Loading';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Mark, type Tone } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { Evidence } from './Evidence';

const words = t.desk.diagnosis;

type Finding = Schemas['Finding'];

const tones: Record<Schemas['SeverityWord'], Tone> = { error: 'bad', warning: 'warn', info: 'dull' };

/** Why somebody does not get their mail: what was found, what to do, and from what it was concluded. */
export function Diagnosis({ address }: { address: string }) {
  const diagnosis = useQuery({
    queryKey: ['accounts', address, 'diagnosis'],
    queryFn: () => take(api.GET('/v1/accounts/{address}/diagnose', { params: { path: { address } } })),
    staleTime: 0,
  });
  if (diagnosis.isPending) return <Loading />;
  if (diagnosis.isError) return <ProblemAlert error={diagnosis.error} retry={() => diagnosis.refetch()} />;
  const { at, findings } = diagnosis.data;
  const how = (severity: Finding['severity']) => findings.filter((finding) => finding.severity === severity).length;
  return (
    <Stack gap="sm">
      <Group justify="space-between" gap="sm">
        <div role="status">
          <Text fw={600}>{words.summary(how('error'), how('warning'))}</Text>
          <Text size="sm" c="dimmed">
            {words.looked} <Time at={at} />
          </Text>
        </div>
        <Button
          size="xs"
          variant="default"
          leftSection={<Icon name="refresh" size={14} />}
          loading={diagnosis.isFetching}
          onClick={() => diagnosis.refetch()}
        >
          {words.again}
        </Button>
      </Group>
      {findings.map((finding, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a code may be found more than once, and the list is never reordered
        <OneFinding key={`${finding.code} ${index}`} of={finding} />
      ))}
    </Stack>
  );
}

function OneFinding({ of: { code, severity, summary, what_to_do, evidence } }: { of: Finding }) {
  const known = Object.keys(evidence).length > 0;
  return (
    <article className="panel" data-code={code}>
      <Group gap="xs" align="baseline" mb={4}>
        <Mark tone={tones[severity]}>{words.severities[severity]}</Mark>
        <Text size="sm" c="dimmed">
          {code}
        </Text>
      </Group>
      <Title order={3} size="h5" mb="xs">
        {summary}
      </Title>
      <Text size="sm">
        <b>{words.toDo}:</b> {what_to_do}
      </Text>
      {known && (
        <details>
          <summary>{words.evidence}</summary>
          <Evidence of={evidence} />
        </details>
      )}
    </article>
  );
}
