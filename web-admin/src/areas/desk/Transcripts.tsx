import { Button, Group, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { ConfirmDestroy } from '@/parts/ConfirmDestroy';
import { FormFoot } from '@/parts/FormFoot';
import { NumberField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { exactly } from '@/parts/Time';
import { t } from '@/text';
import { TranscriptsList } from './TranscriptsList';

const words = t.desk.transcripts;

/** What an account's sessions say, written down for a while. */
export function Transcripts({ address }: { address: string }) {
  const may = useMay();
  const queries = useQueryClient();
  const [stopping, setStopping] = useState(false);
  const path = { address };
  const key = ['accounts', address, 'transcripts'];
  const state = useQuery({
    queryKey: [...key, 'state'],
    queryFn: () => take(api.GET('/v1/accounts/{address}/transcripts', { params: { path, query: { limit: 1 } } })),
    refetchInterval: 15_000,
  });
  const form = useForm<Schemas['TranscriptsBegin']>({
    start: { '/minutes': 10 },
    send: (body) => take(api.POST('/v1/accounts/{address}/transcripts', { params: { path }, body })),
    refresh: key,
    done: () => told(words.begun),
  });
  const until = state.data?.until;
  return (
    <Stack gap="sm">
      <Section
        title={words.title}
        actions={
          may('transcripts:write') && (
            <Button size="xs" color="red" variant="outline" onClick={() => setStopping(true)}>
              {words.stop}
            </Button>
          )
        }
      >
        <Stack gap="sm">
          <Text size="sm">{words.detail}</Text>
          <ProblemAlert error={state.error} />
          {state.isSuccess && (
            <Text fw={600} role="status">
              {until ? words.on(exactly(until)) : words.off}
            </Text>
          )}
          {may('transcripts:write') && (
            <form onSubmit={form.submit}>
              <Group maw={320}>
                <NumberField field={form.field('/minutes')} label={words.minutes} min={1} max={60} required />
              </Group>
              <FormFoot form={form} label={until ? words.extend : words.begin} always />
            </form>
          )}
        </Stack>
      </Section>
      <TranscriptsList address={address} />
      <ConfirmDestroy
        opened={stopping}
        onClose={() => setStopping(false)}
        title={words.stopTitle}
        verb={words.stop}
        target={address}
        trial={() =>
          takeTrial(api.DELETE('/v1/accounts/{address}/transcripts', { params: { path, query: { dry_run: true } } }))
        }
        act={() => take(api.DELETE('/v1/accounts/{address}/transcripts', { params: { path } }))}
        done={() => {
          told(words.stopped);
          void queries.invalidateQueries({ queryKey: key });
        }}
      />
    </Stack>
  );
}
