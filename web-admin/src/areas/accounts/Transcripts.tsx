import { Button, Group, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { DestroyButton } from '@/parts/DestroyButton';
import { FormFoot } from '@/parts/FormFoot';
import { NumberField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { octetsOf } from '@/parts/Octets';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { Mark } from '@/parts/StatusBadge';
import { exactly, Time } from '@/parts/Time';
import { t } from '@/text';
import type { TabProps } from './Account';
import { TranscriptModal } from './TranscriptModal';

const words = t.accounts;

type Transcript = Schemas['Transcript'];

export default function Transcripts({ account: { address } }: TabProps) {
  const writes = useMay()('transcripts:write');
  const queries = useQueryClient();
  const [shown, setShown] = useState<string | null>(null);
  const queryKey = ['accounts', address, 'transcripts'];
  const path = { address };
  const until = useQuery({
    queryKey: [...queryKey, 'until'],
    queryFn: () => take(api.GET('/v1/accounts/{address}/transcripts', { params: { path, query: { limit: 1 } } })),
    refetchInterval: 10_000,
  });
  const form = useForm<Schemas['TranscriptsBegin']>({
    start: { '/minutes': 10 },
    send: (body) => take(api.POST('/v1/accounts/{address}/transcripts', { params: { path }, body })),
    refresh: queryKey,
    done: () => told(words.transcriptsBegun),
  });
  const end = (dry_run?: true) =>
    api.DELETE('/v1/accounts/{address}/transcripts', { params: { path, query: { dry_run } } });
  const columns: Column<Transcript>[] = [
    {
      title: words.when,
      main: true,
      cell: (item) => (
        <Group gap="xs">
          <Time at={item.started_at} exact />
          {item.truncated && <Mark tone="warn">{words.truncated}</Mark>}
        </Group>
      ),
    },
    { title: words.from, cell: (item) => item.address },
    { title: words.client, cell: (item) => <Text size="xs">{item.client ?? '–'}</Text> },
    { title: words.outcome, cell: (item) => item.ended },
    { title: words.size, right: true, cell: (item) => octetsOf(item.octets) },
    {
      title: words.show,
      quiet: true,
      right: true,
      cell: (item) => (
        <Button
          size="compact-sm"
          variant="default"
          aria-label={`${words.show}: ${exactly(item.started_at)}`}
          onClick={() => setShown(item.id)}
        >
          {words.show}
        </Button>
      ),
    },
  ];
  return (
    <Stack>
      <Section title={words.transcribe}>
        <Stack gap="sm">
          <Text size="sm">{words.transcribeDetail}</Text>
          {until.data?.until && (
            <Text role="status">
              {words.transcribing} <Time at={until.data.until} exact />
            </Text>
          )}
          {writes && (
            <form onSubmit={form.submit}>
              <NumberField field={form.field('/minutes')} label={words.minutes} min={1} max={60} />
              <FormFoot form={form} label={words.transcribe} always />
            </form>
          )}
        </Stack>
      </Section>
      <Section
        title={words.tabs.transcripts}
        actions={
          writes && (
            <DestroyButton
              size="xs"
              title={words.transcriptsEndTitle}
              verb={words.transcriptsEnd}
              target={address}
              trial={() => takeTrial(end(true))}
              act={() => take(end())}
              done={() => {
                told(words.transcriptsEnded);
                void queries.invalidateQueries({ queryKey });
              }}
            />
          )
        }
      >
        <ResourceList
          label={words.tabs.transcripts}
          queryKey={queryKey}
          live={10_000}
          fetch={({ limit, cursor }) =>
            take(api.GET('/v1/accounts/{address}/transcripts', { params: { path, query: { limit, cursor } } }))
          }
          columns={columns}
          rowKey={(item) => item.id}
          empty={words.transcriptsEmpty}
        />
      </Section>
      {shown && <TranscriptModal address={address} id={shown} onClose={() => setShown(null)} />}
    </Stack>
  );
}
