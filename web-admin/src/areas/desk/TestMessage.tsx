import { Alert, Button, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { api, take } from '@/client/api';
import { Icon } from '@/parts/Icon';
import { told } from '@/parts/notify';
import { octetsOf } from '@/parts/Octets';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { t } from '@/text';
import { compose } from './compose';

const words = t.desk.delivery;

/** Puts a message into the maildrop, as an MTA would. */
export function TestMessage({ address }: { address: string }) {
  const queries = useQueryClient();
  const [sender, setSender] = useState('');
  const [subject, setSubject] = useState(words.subjectStart);
  const [text, setText] = useState(words.textStart);
  const deliver = useMutation({
    mutationFn: () =>
      take(
        api.POST('/v1/accounts/{address}/messages', {
          params: { path: { address }, query: sender.trim() ? { sender: sender.trim() } : {} },
          body: compose({ from: words.from, sender: sender.trim(), to: address, subject, text, at: new Date() }),
          bodySerializer: (body) => body,
          headers: { 'Content-Type': 'message/rfc822' },
        }),
      ),
    onSuccess: () => {
      told(words.done);
      void queries.invalidateQueries({ queryKey: ['accounts'] });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    deliver.mutate();
  };
  return (
    <Section title={words.title}>
      <form onSubmit={submit}>
        <Stack gap="sm" maw={640}>
          <Text size="sm">{words.detail}</Text>
          <TextInput
            label={words.sender}
            description={words.senderHint}
            type="email"
            value={sender}
            onChange={(event) => setSender(event.currentTarget.value)}
            autoComplete="off"
          />
          <TextInput
            label={words.subject}
            value={subject}
            maxLength={200}
            onChange={(event) => setSubject(event.currentTarget.value)}
          />
          <Textarea label={words.text} rows={4} value={text} onChange={(event) => setText(event.currentTarget.value)} />
          <ProblemAlert error={deliver.error} />
          {deliver.isSuccess && (
            <Alert color="green" icon={<Icon name="check" />} className="wrap" role="status">
              {words.delivered(deliver.data.unique_id, octetsOf(deliver.data.octets))}
            </Alert>
          )}
          <div>
            <Button type="submit" loading={deliver.isPending}>
              {words.send}
            </Button>
          </div>
        </Stack>
      </form>
    </Section>
  );
}
