import { Group, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { DestroyButton } from '@/parts/DestroyButton';
import { told } from '@/parts/notify';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { Mark } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import type { TabProps } from './Account';
import { NewAppPassword } from './NewAppPassword';
import { Password } from './Password';
import { SetUp } from './SetUp';

const words = t.accounts;

type AppPassword = Schemas['AppPassword'];

export default function Credentials({ account }: TabProps) {
  const { address } = account;
  const writes = useMay()('credentials:write');
  const queries = useQueryClient();
  const queryKey = ['accounts', address, 'app-passwords'];
  const revoke = (id: string, dry_run?: true) =>
    api.DELETE('/v1/accounts/{address}/app-passwords/{id}', { params: { path: { address, id }, query: { dry_run } } });
  const columns: Column<AppPassword>[] = [
    {
      title: words.appPasswordName,
      main: true,
      cell: (item) => (
        <Group gap="xs">
          {item.name}
          {!item.scopes.includes('delete') && <Mark tone="dull">{words.readOnly}</Mark>}
          {item.legacy && <Mark tone="warn">{words.legacyMark}</Mark>}
        </Group>
      ),
    },
    { title: words.lastUsed, cell: (item) => <Time at={item.last_used_at} /> },
    { title: words.expires, cell: (item) => <Time at={item.expires_at} /> },
    { title: words.networksTitle, cell: (item) => item.allowed_networks.join(', ') || words.anywhere },
    { title: t.common.created, cell: (item) => <Time at={item.created_at} /> },
    ...(writes
      ? [
          {
            title: words.revoke,
            quiet: true,
            right: true,
            cell: (item: AppPassword) => (
              <DestroyButton
                size="compact-sm"
                label={words.revokeLabel(item.name)}
                title={words.revokeTitle}
                verb={words.revoke}
                target={item.name}
                trial={() => takeTrial(revoke(item.id, true))}
                act={() => take(revoke(item.id))}
                done={() => {
                  told(words.revoked);
                  void queries.invalidateQueries({ queryKey });
                }}
              >
                <Text size="sm">{words.revokeDetail}</Text>
              </DestroyButton>
            ),
          },
        ]
      : []),
  ];
  return (
    <Stack>
      <Section title={words.appPasswords}>
        <ResourceList
          label={words.appPasswords}
          queryKey={queryKey}
          fetch={() => take(api.GET('/v1/accounts/{address}/app-passwords', { params: { path: { address } } }))}
          columns={columns}
          rowKey={(item) => item.id}
          empty={words.appPasswordsEmpty}
          actions={writes && <NewAppPassword account={account} />}
        />
      </Section>
      <Section title={words.setUp}>
        <SetUp account={account} />
      </Section>
      {writes && <Password account={account} />}
    </Stack>
  );
}
