import { Button, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, type Schemas, take } from '@/client/api';
import { changesBetween } from '@/parts/changes';
import { Loading } from '@/parts/Loading';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Mark, type Tone } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.accounts;

const tones: Record<Schemas['SeverityWord'], Tone> = { error: 'bad', warning: 'warn', info: 'dull' };

/** Why somebody cannot get their mail, and what to do. */
export function Diagnosis({ address }: { address: string }) {
  const diagnosis = useQuery({
    queryKey: ['accounts', address, 'diagnosis'],
    queryFn: () => take(api.GET('/v1/accounts/{address}/diagnose', { params: { path: { address } } })),
  });
  return (
    <Section
      title={words.diagnosis}
      actions={
        <Button size="xs" variant="default" loading={diagnosis.isFetching} onClick={() => diagnosis.refetch()}>
          {words.diagnose}
        </Button>
      }
    >
      <ProblemAlert error={diagnosis.error} />
      {diagnosis.isPending && <Loading />}
      <Stack component="ul" gap="md" className="plain">
        {diagnosis.data?.findings.map((finding) => (
          <li key={finding.code} data-finding={finding.code}>
            <Mark tone={tones[finding.severity]}>{words.severities[finding.severity]}</Mark>{' '}
            <Text span fw={600}>
              {finding.summary}
            </Text>
            <Text size="sm" mt={4}>
              {words.whatToDo}: {finding.what_to_do}
            </Text>
            <Evidence of={finding.evidence} />
          </li>
        ))}
      </Stack>
    </Section>
  );
}

const MOMENT = /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/;

/** What was concluded from, fact by fact, in the API's own names. */
function Evidence({ of }: { of: Schemas['Finding']['evidence'] }) {
  const facts = changesBetween({}, of);
  if (facts.length === 0) return null;
  return (
    <details>
      <summary>{words.evidence}</summary>
      <Facts
        of={facts.map(({ path, after = '' }) => [
          path.replaceAll('_', ' '),
          MOMENT.test(after) ? <Time key={path} at={after} exact /> : listed(after),
        ])}
      />
    </details>
  );
}

function listed(text: string): string {
  if (!text.startsWith('[')) return text;
  const items: unknown[] = JSON.parse(text);
  return items.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join(', ');
}
