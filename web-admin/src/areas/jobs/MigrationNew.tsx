import { SimpleGrid, Stack, Text, Textarea } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { usePlatform } from '@/client/me';
import { asProblem } from '@/client/problem';
import { ChoiceField, NumberField, optionsOf, TextField } from '@/parts/fields';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { TenantField } from '@/parts/TenantField';
import { t } from '@/text';
import { accountsOf, withLines } from './maildrops';
import { RunButtons } from './RunButtons';
import { Trial } from './Trial';

const words = t.jobs;

type Draft = Schemas['MigrationNew'] & { tenant?: string | null };

export function Page() {
  const platform = usePlatform();
  const navigate = useNavigate();
  const [tries, setTries] = useState(true);
  const [trial, setTrial] = useState<string | null>(null);
  const [text, setText] = useState('');
  const [kept, setKept] = useState<Partial<Draft>>({ source: { protocol: 'pop3', host: '', tls: 'implicit' } });
  const form = useForm<Draft>({
    // What was typed stays after a trial, for the migration itself.
    base: kept,
    send: async ({ tenant = kept.tenant, source }) => {
      const whole = { ...kept.source, ...source } as Schemas['MigrationSource'];
      if (whole.protocol !== 'imap') delete whole.uidl_format;
      const query = { tenant: tenant ?? undefined, dry_run: tries };
      const body = { kind: 'maildrop-migration' as const, source: whole, accounts: accountsOf(text) };
      try {
        const made = await take(api.POST('/v1/imports', { params: { query }, body }));
        setKept({ tenant: tenant ?? null, source: whole });
        if (tries) setTrial(made.id);
        else await navigate({ to: '/jobs/$id', params: { id: made.id } });
      } catch (error) {
        throw withLines(asProblem(error));
      }
    },
    refresh: ['jobs'],
  });
  const protocol = form.field('/source/protocol');
  return (
    <>
      <PageHead
        title={words.migrationTitle}
        trail={[
          <TextLink key="list" to="/jobs">
            {words.title}
          </TextLink>,
        ]}
      />
      <Stack>
        <Section title={t.common.details}>
          <form onSubmit={form.submit}>
            <Stack gap="sm" maw={860}>
              <Text size="sm">{words.migrationDetail}</Text>
              {platform && <TenantField field={form.field('/tenant')} required />}
              <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
                <TextField
                  field={form.field('/source/host')}
                  label={words.host}
                  hint={words.hostHint}
                  required
                  inputMode="url"
                />
                <NumberField field={form.field('/source/port')} label={words.port} hint={words.portHint} max={65535} />
                <ChoiceField field={protocol} label={words.protocol} options={optionsOf(words.protocols)} />
                <ChoiceField<Schemas['SourceTlsWord']>
                  field={form.field('/source/tls')}
                  label={words.tls}
                  options={optionsOf(words.tlsKinds)}
                />
              </SimpleGrid>
              {protocol.value === 'imap' && (
                <TextField
                  field={form.field('/source/uidl_format')}
                  label={words.uidlFormat}
                  hint={words.uidlFormatHint}
                  empty={null}
                />
              )}
              <Textarea
                label={words.maildrops}
                description={words.maildropsHint}
                rows={8}
                required
                value={text}
                onChange={(event) => setText(event.currentTarget.value)}
                error={form.field('/accounts').error}
                placeholder="alice@acme.test, alice, correct horse battery"
                spellCheck={false}
                autoComplete="off"
                autoCapitalize="none"
                styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
              />
              <ProblemAlert error={form.problem} />
              <RunButtons verb={words.migrate} busy={form.busy} tries={tries} setTries={setTries} />
            </Stack>
          </form>
        </Section>
        {trial && <Trial id={trial} />}
      </Stack>
    </>
  );
}
