import { Alert, Code, Group, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { useAddress } from '@/app/search';
import { api, type Schemas, take } from '@/client/api';
import { CopyButton } from '@/parts/CopyButton';
import { Changes } from '@/parts/Effects';
import { Icon } from '@/parts/Icon';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.audit;

type Event = Schemas['AuditEvent'];

/** The entry by its moment and its target, which stand in the address: the API has no path for a single one. */
async function find(id: string, since: string, target: string): Promise<Event | null> {
  const until = new Date(Date.parse(since) + 1).toISOString();
  let cursor: string | undefined;
  do {
    const query = { since, until, target: target || undefined, limit: 200, cursor };
    const page = await take(api.GET('/v1/audit-events', { params: { query } }));
    const found = page.items.find((item) => item.id === id);
    if (found) return found;
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  return null;
}

export function Page() {
  const { id } = useParams({ from: '/in/audit/$id' });
  const [{ at = '', target = '' }] = useAddress();
  const got = useQuery({
    queryKey: ['audit', id, at, target],
    queryFn: () => (Number.isNaN(Date.parse(at)) ? null : find(id, at, target)),
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (got.isError) return <ProblemAlert error={got.error} retry={() => got.refetch()} />;
  if (got.isPending) return <Loading />;
  const trail = [
    <TextLink key="list" to="/audit">
      {words.title}
    </TextLink>,
  ];
  if (!got.data) {
    return (
      <>
        <PageHead title={words.missing} trail={trail} />
        <Text>{words.missingDetail}</Text>
      </>
    );
  }
  return (
    <>
      <PageHead title={got.data.action} trail={trail} />
      <Entry event={got.data} />
    </>
  );
}

function Entry({ event }: { event: Event }) {
  const raw = JSON.stringify(event, null, 2);
  return (
    <Stack>
      <Section title={t.common.details}>
        <Facts
          of={[
            [words.target, event.target],
            [words.actor, event.actor],
            [t.common.tenant, event.tenant ?? t.shell.platform],
            [words.when, <Time key="w" at={event.at} exact />],
            [words.address, event.address ?? words.inside],
            [words.request, event.request_id ? <Code key="r">{event.request_id}</Code> : t.common.none],
          ]}
        />
        <Group mt="sm">
          <TextLink to="/audit" search={{ target: event.target }} size="sm">
            {words.sameTarget}
          </TextLink>
          <TextLink to="/audit" search={{ actor: event.actor }} size="sm">
            {words.sameActor}
          </TextLink>
        </Group>
      </Section>
      <Section title={words.changes}>
        {event.before == null && event.after != null && <Note>{words.made}</Note>}
        {event.before != null && event.after == null && <Note>{words.gone}</Note>}
        <Changes before={event.before} after={event.after} />
      </Section>
      <Section title={words.raw} actions={<CopyButton text={raw} of={words.raw} />}>
        <Code block className="wrap">
          {raw}
        </Code>
      </Section>
    </Stack>
  );
}

function Note({ children }: { children: string }) {
  return <Alert color="gray" variant="light" icon={<Icon name="info" />} title={children} mb="sm" py="xs" />;
}
