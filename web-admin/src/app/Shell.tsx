import { ActionIcon, AppShell, Burger, Button, Group, Kbd, Text } from '@mantine/core';
import { useDisclosure, useHotkeys, useMediaQuery } from '@mantine/hooks';
import { Outlet, useLocation } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useSyncExternalStore } from 'react';
import { MeContext, useMeQuery } from '@/client/me';
import { session } from '@/client/session';
import { Icon } from '@/parts/Icon';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';
import { Nav } from './Nav';
import { UserMenu } from './UserMenu';

const Palette = lazy(() => import('./Palette'));
const Expired = lazy(() => import('@/areas/sign-in/Expired'));

const mac = /Mac|iPhone|iPad/.test(navigator.userAgent);

export function Shell() {
  const state = useSyncExternalStore(session.watch, session.state);
  const me = useMeQuery(state === 'in');
  const { pathname } = useLocation();
  const [nav, navigation] = useDisclosure(false);
  const [palette, paletteIs] = useDisclosure(false);
  const narrow = useMediaQuery('(max-width: 48em)');
  useHotkeys([['mod+K', paletteIs.open]], []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a navigation closes it
  useEffect(navigation.close, [pathname]);

  if (!me.data) {
    return (
      <>
        {me.isError ? <ProblemAlert error={me.error} retry={() => me.refetch()} /> : <Loading />}
        {state === 'expired' && <Suspense>{<Expired />}</Suspense>}
      </>
    );
  }

  return (
    <MeContext.Provider value={me.data}>
      <a className="skip" href="#content">
        {t.shell.skip}
      </a>
      <AppShell
        header={{ height: 56 }}
        navbar={{ width: 232, breakpoint: 'sm', collapsed: { mobile: !nav } }}
        padding={{ base: 'sm', sm: 'lg' }}
      >
        <AppShell.Header px="sm">
          <Group h="100%" gap="sm" wrap="nowrap" justify="space-between">
            <Group gap="xs" wrap="nowrap">
              <Burger
                opened={nav}
                onClick={navigation.toggle}
                hiddenFrom="sm"
                size="sm"
                aria-expanded={nav}
                aria-label={nav ? t.shell.closeNavigation : t.shell.openNavigation}
              />
              <TextLink to="/" underline="never" c="inherit" fw={700} fz="lg">
                <Group gap={8} wrap="nowrap" component="span">
                  <img src="/icon.svg" width={26} height={26} alt="" />
                  {t.shell.product}
                </Group>
              </TextLink>
            </Group>
            <Group gap="xs" wrap="nowrap">
              {narrow ? (
                <ActionIcon variant="default" size={36} aria-label={t.shell.search} onClick={paletteIs.open}>
                  <Icon name="search" />
                </ActionIcon>
              ) : (
                <Button
                  variant="default"
                  onClick={paletteIs.open}
                  leftSection={<Icon name="search" size={16} />}
                  rightSection={<Kbd size="xs">{mac ? '⌘ K' : 'Ctrl K'}</Kbd>}
                  aria-keyshortcuts={mac ? 'Meta+K' : 'Control+K'}
                >
                  <Text size="sm" c="dimmed" pr="xl">
                    {t.shell.search}
                  </Text>
                </Button>
              )}
              <UserMenu />
            </Group>
          </Group>
        </AppShell.Header>
        <AppShell.Navbar p="xs" component="div">
          <Nav />
        </AppShell.Navbar>
        <AppShell.Main id="content" tabIndex={-1}>
          <div className="page">
            <Suspense fallback={<Loading />}>
              <Outlet />
            </Suspense>
          </div>
        </AppShell.Main>
      </AppShell>
      <Suspense>
        {palette && <Palette onClose={paletteIs.close} />}
        {state === 'expired' && <Expired />}
      </Suspense>
    </MeContext.Provider>
  );
}
