import { Button, Stack, Textarea, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { api, take } from '@/client/api';
import { useMe } from '@/client/me';
import { FormModal } from '@/parts/FormModal';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';

const words = t.accounts;

/** Header text that is not plain ASCII, as RFC 2047 writes it. Line ends would begin a header of their own. */
export function headerText(text: string): string {
  const line = text.replaceAll(/[\r\n]+/g, ' ');
  if (/^[ -~]*$/.test(line)) return line;
  // A word has at most 75 octets; base64 of 42 octets fits, and no character may be cut in two.
  const words: string[] = [];
  let part = '';
  const octets = (piece: string) => new TextEncoder().encode(piece);
  const word = (piece: string) => `=?utf-8?B?${btoa(String.fromCharCode(...octets(piece)))}?=`;
  for (const character of line) {
    if (octets(part + character).length > 42) {
      words.push(word(part));
      part = '';
    }
    part += character;
  }
  return [...words, word(part)].join('\r\n ');
}

export function testMessage(from: string, to: string, subject: string, text: string, date: Date): string {
  const head = [
    `From: ${headerText(from)}`,
    `To: <${to}>`,
    `Subject: ${headerText(subject)}`,
    `Date: ${date.toUTCString().replace('GMT', '+0000')}`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
  ];
  return `${head.join('\r\n')}\r\n\r\n${text.replaceAll(/\r?\n/g, '\r\n')}\r\n`;
}

function DeliverForm({ address, close }: { address: string; close: () => void }) {
  const { name } = useMe();
  const [subject, setSubject] = useState(words.deliverSubjectStart);
  const [text, setText] = useState(words.deliverTextStart);
  const queries = useQueryClient();
  const deliver = useMutation({
    mutationFn: () =>
      take(
        api.POST('/v1/accounts/{address}/messages', {
          params: { path: { address } },
          headers: { 'Content-Type': 'message/rfc822' },
          body: testMessage(name, address, subject, text, new Date()),
          bodySerializer: (body) => body as string,
        }),
      ),
    onSuccess: ({ unique_id }) => {
      told(words.delivered(unique_id));
      close();
      void queries.invalidateQueries({ queryKey: ['accounts', address] });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    deliver.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <TextInput
          label={words.deliverSubject}
          value={subject}
          onChange={(event) => setSubject(event.currentTarget.value)}
        />
        <Textarea
          label={words.deliverText}
          rows={4}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        <ProblemAlert error={deliver.error} />
        <Button type="submit" loading={deliver.isPending} style={{ alignSelf: 'flex-start' }}>
          {words.deliverSend}
        </Button>
      </Stack>
    </form>
  );
}

export function Deliver({ address }: { address: string }) {
  return <FormModal label={words.deliver}>{(close) => <DeliverForm address={address} close={close} />}</FormModal>;
}
