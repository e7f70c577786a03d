import { Alert, Code, Group, List, NativeSelect, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import type { Schemas } from '@/client/api';
import { CopyButton } from '@/parts/CopyButton';
import { Icon } from '@/parts/Icon';
import { Facts } from '@/parts/Section';
import { t } from '@/text';
import { useDns } from '../domains/Dns';

const words = t.accounts;

/** The host and port of a SRV record as the API expects it: `0 1 995 pop.example.net.`. */
export function serverOf(records: readonly Schemas['DnsRecord'][], service: string) {
  const record = records.find(({ purpose, name }) => purpose === 'pop3' && name.startsWith(`${service}.`));
  const [, , port, host] = record?.expected[0]?.split(' ') ?? [];
  return port && host && host !== '.' ? { port, host: host.replace(/\.$/, '') } : undefined;
}

/** How to set up a mail client, with the service's own names and ports. */
export function SetUp({ account: { address, domain, tenant } }: { account: Schemas['Account'] }) {
  const dns = useDns(domain, tenant);
  const [chosen, setChosen] = useState('thunderbird');
  const records = dns.data?.records ?? [];
  const tls = serverOf(records, '_pop3s._tcp');
  const starttls = serverOf(records, '_pop3._tcp');
  const server = tls ?? starttls;
  const shown = { host: server?.host ?? words.setUpServerUnknown, port: server?.port ?? '995', user: address };
  const client = t.setUp[chosen];
  const file = client?.file;
  return (
    <Stack gap="sm">
      {dns.isSuccess && !server && <Alert color="orange" icon={<Icon name="info" />} title={words.setUpUnknown} />}
      <Facts
        of={[
          [words.setUpServer, <Code key="s">{shown.host}</Code>],
          [
            words.setUpPort,
            [
              `${shown.port} (${tls || !server ? words.setUpTls : words.setUpStartTls})`,
              ...(tls && starttls ? [`${starttls.port} (${words.setUpStartTls})`] : []),
            ].join(', '),
          ],
          [words.setUpUser, <Code key="u">{address}</Code>],
          [words.setUpPassword, words.setUpPasswordIs],
        ]}
      />
      <NativeSelect
        label={words.setUpClient}
        maw={320}
        value={chosen}
        onChange={(event) => setChosen(event.currentTarget.value)}
        data={Object.entries(t.setUp).map(([value, { name }]) => ({ value, label: name }))}
      />
      {client?.steps && (
        <List type="ordered" size="sm" className="wrap" spacing={4} pr="md">
          {client.steps(shown).map((step) => (
            <List.Item key={step}>{step}</List.Item>
          ))}
        </List>
      )}
      {file && (
        <div>
          <Group justify="space-between" mb={4}>
            <Text size="sm">{file.name}</Text>
            <CopyButton text={file.text(shown)} of={file.name} />
          </Group>
          <Code block>{file.text(shown)}</Code>
        </div>
      )}
    </Stack>
  );
}
