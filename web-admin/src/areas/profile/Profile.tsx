import { SimpleGrid, Stack, Text } from '@mantine/core';
import { useMe } from '@/client/me';
import { PageHead } from '@/parts/PageHead';
import { Facts, Section } from '@/parts/Section';
import { t } from '@/text';
import { OwnPassword } from './OwnPassword';
import { OwnSessions } from './OwnSessions';
import { Totp } from './Totp';

const words = t.profile;

export function Page() {
  const me = useMe();
  return (
    <>
      <PageHead title={words.title} />
      <Stack>
        <Section title={words.you}>
          <Facts
            of={[
              [t.common.name, me.display_name ? `${me.display_name} (${me.name})` : me.name],
              [words.role, t.shell.roles[me.role]],
              [t.common.tenant, me.tenant ?? t.shell.platform],
              ...(me.domains ? [[words.domains, me.domains.join(', ') || t.common.none] as const] : []),
              [
                words.permissions,
                <Text key="p" size="sm">
                  {me.permissions.join(', ')}
                </Text>,
              ],
            ]}
          />
        </Section>
        {me.session ? (
          <>
            {me.has_password ? (
              <SimpleGrid cols={{ base: 1, md: 2 }}>
                <OwnPassword name={me.name} />
                <Totp on={me.has_totp} />
              </SimpleGrid>
            ) : (
              <Section title={words.password}>
                <Text>{words.passwordNone}</Text>
              </Section>
            )}
            <OwnSessions />
          </>
        ) : (
          <Text>{words.key}</Text>
        )}
      </Stack>
    </>
  );
}
