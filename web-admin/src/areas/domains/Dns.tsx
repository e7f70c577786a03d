import { Button, Code, Group, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, type Schemas, take } from '@/client/api';
import { CopyButton } from '@/parts/CopyButton';
import { type Column, ListTable } from '@/parts/ListTable';
import { Loading } from '@/parts/Loading';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { Mark, type Tone } from '@/parts/StatusBadge';
import { t } from '@/text';

const words = t.domains;

type DnsRecord = Schemas['DnsRecord'];

const tones: Record<DnsRecord['state'], Tone> = { ok: 'good', missing: 'warn', wrong: 'bad', unreachable: 'dull' };

const texts = (values: string[]) =>
  values.length === 0 ? (
    '–'
  ) : (
    <Stack gap={2}>
      {values.map((value) => (
        <Code key={value} className="wrap">
          {value}
        </Code>
      ))}
    </Stack>
  );

const columns: Column<DnsRecord>[] = [
  { title: words.record, main: true, cell: (record) => <span className="wrap">{record.name}</span> },
  { title: words.type, cell: (record) => record.type },
  {
    title: words.purpose,
    cell: (record) => words.purposes[record.purpose] + (record.required ? ` (${words.required})` : ''),
  },
  {
    title: words.expected,
    cell: (record) => (
      <Group gap="xs" wrap="nowrap">
        {texts(record.expected)}
        {record.expected.length > 0 && <CopyButton text={record.expected.join('\n')} of={record.name} />}
      </Group>
    ),
  },
  { title: words.found, cell: (record) => texts(record.found) },
  {
    title: words.state,
    cell: (record) => <Mark tone={tones[record.state]}>{words.states[record.state]}</Mark>,
  },
];

export function useDns(name: string, tenant: string | undefined, enabled = true) {
  return useQuery({
    queryKey: ['domains', name, tenant ?? '', 'dns'],
    queryFn: () => take(api.GET('/v1/domains/{name}/dns', { params: { path: { name }, query: { tenant } } })),
    staleTime: 30_000,
    enabled,
  });
}

/** What the domain's zone has to say, and what it says now. */
export function Dns({ name, tenant }: { name: string; tenant: string | undefined }) {
  const dns = useDns(name, tenant);
  return (
    <Section
      title={words.dns}
      actions={
        <Button size="xs" variant="default" loading={dns.isFetching} onClick={() => dns.refetch()}>
          {t.common.list.refresh}
        </Button>
      }
    >
      <ProblemAlert error={dns.error} />
      {dns.isPending && <Loading />}
      {dns.data && (
        <Stack gap="sm">
          {dns.data.records.length === 0 ? (
            <Text>{words.dnsNone}</Text>
          ) : (
            <ListTable
              label={words.dnsList}
              items={dns.data.records}
              columns={columns}
              rowKey={(record) => `${record.purpose} ${record.type} ${record.name}`}
              sorts={[]}
              sort={undefined}
              change={() => undefined}
              stale={false}
            />
          )}
          {dns.data.unset.length > 0 && (
            <Text size="sm" c="dimmed">
              {words.unset(dns.data.unset.join(', '))}
            </Text>
          )}
        </Stack>
      )}
    </Section>
  );
}
