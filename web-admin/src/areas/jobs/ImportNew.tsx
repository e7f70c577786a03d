import { Code, FileInput, Group, Radio, Stack, Text, Textarea } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, take } from '@/client/api';
import { useForm } from '@/client/form';
import { usePlatform } from '@/client/me';
import { Problem } from '@/client/problem';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { TenantField } from '@/parts/TenantField';
import { t } from '@/text';
import { RunButtons } from './RunButtons';
import { Trial } from './Trial';

const words = t.jobs;
const example = '{"address":"alice@acme.test","password":"correct horse battery","quota":{"octets":1000000000}}';

interface Draft {
  tenant?: string | null;
  trial: boolean;
}

export function Page() {
  const platform = usePlatform();
  const navigate = useNavigate();
  const [from, setFrom] = useState<'file' | 'paste'>('file');
  const [file, setFile] = useState<File | null>(null);
  const [text, setText] = useState('');
  const [tenant, setTenant] = useState<string | null>(null);
  const [trial, setTrial] = useState<string | null>(null);
  const [tries, setTries] = useState(true);
  const form = useForm<Draft>({
    send: async () => {
      const body = from === 'file' ? file : text.trim() && text;
      if (!body) throw new Problem({ type: '/problems/invalid', title: words.bodyMissing, detail: words.bodyMissing });
      const made = await take(
        api.POST('/v1/imports', {
          params: { query: { tenant: tenant ?? undefined, dry_run: tries } },
          headers: { 'Content-Type': 'application/x-ndjson' },
          // The lines go as they are.
          body: body as never,
          bodySerializer: (whole) => whole as never,
        }),
      );
      if (tries) setTrial(made.id);
      else await navigate({ to: '/jobs/$id', params: { id: made.id } });
    },
    refresh: ['jobs'],
  });
  const tenantField = { ...form.field('/tenant'), value: tenant, onChange: setTenant };
  return (
    <>
      <PageHead
        title={words.importTitle}
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
              <Text size="sm">{words.importDetail}</Text>
              <Text size="sm">{words.importFields}</Text>
              <Code block className="wrap">
                {example}
              </Code>
              {platform && <TenantField field={tenantField} required />}
              <Radio.Group
                aria-label={words.importTitle}
                value={from}
                onChange={(value) => setFrom(value === 'paste' ? 'paste' : 'file')}
              >
                <Group>
                  <Radio value="file" label={words.byFile} />
                  <Radio value="paste" label={words.byPaste} />
                </Group>
              </Radio.Group>
              {from === 'file' ? (
                <FileInput
                  label={words.file}
                  description={words.fileHint}
                  placeholder={words.choose}
                  value={file}
                  onChange={setFile}
                  accept=".ndjson,.jsonl,.json,.txt"
                  clearable
                />
              ) : (
                <Textarea
                  label={words.paste}
                  rows={10}
                  value={text}
                  onChange={(event) => setText(event.currentTarget.value)}
                  spellCheck={false}
                  autoComplete="off"
                  autoCapitalize="none"
                  styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
                />
              )}
              <ProblemAlert error={form.problem} />
              <RunButtons verb={words.run} busy={form.busy} tries={tries} setTries={setTries} />
            </Stack>
          </form>
        </Section>
        {trial && <Trial id={trial} />}
      </Stack>
    </>
  );
}
