import { Button, SimpleGrid, Stack, Text } from '@mantine/core';
import { lazy, Suspense, useState } from 'react';
import { navFor } from '@/app/nav-entries';
import { useMay, useMe } from '@/client/me';
import { Icon } from '@/parts/Icon';
import { ButtonLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { Section } from '@/parts/Section';
import { t } from '@/text';

const Palette = lazy(() => import('@/app/Palette'));

const words = t.overview;

/** The start page of whoever may not see figures: it helps them on. */
export default function Start() {
  const me = useMe();
  const searches = useMay()('accounts:read');
  const [searching, setSearching] = useState(false);
  const entries = navFor(me);
  return (
    <>
      <PageHead title={words.welcome} />
      <Stack>
        {searches && (
          <Section title={words.search}>
            <Stack gap="sm" align="flex-start">
              <Text>{words.welcomeDetail}</Text>
              <Button leftSection={<Icon name="search" size={16} />} onClick={() => setSearching(true)}>
                {words.search}
              </Button>
            </Stack>
          </Section>
        )}
        <Section title={words.pages}>
          {entries.length === 0 && <Text>{words.pagesNone}</Text>}
          <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
            {[...entries, { to: '/profile', label: t.shell.profile, icon: 'person' as const }].map((entry) => (
              <ButtonLink
                key={entry.to}
                to={entry.to as '/'}
                variant="default"
                justify="flex-start"
                leftSection={<Icon name={entry.icon} />}
              >
                {entry.label}
              </ButtonLink>
            ))}
          </SimpleGrid>
        </Section>
      </Stack>
      <Suspense>{searching && <Palette onClose={() => setSearching(false)} />}</Suspense>
    </>
  );
}
