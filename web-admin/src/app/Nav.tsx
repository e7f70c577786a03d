import { NavLink, Text } from '@mantine/core';
import { createLink, useLocation } from '@tanstack/react-router';
import { useMe } from '@/client/me';
import { Icon } from '@/parts/Icon';
import { t } from '@/text';
import { type NavEntry, navFor } from './nav-entries';

const NavItem = createLink(NavLink<'a'>);

function isHere(entry: NavEntry, pathname: string) {
  return entry.to === '/' ? pathname === '/' : pathname === entry.to || pathname.startsWith(`${entry.to}/`);
}

export function Nav() {
  const me = useMe();
  const { pathname } = useLocation();
  const entries = navFor(me);
  const groups = [undefined, 'mail', 'people', 'operation'] as const;
  return (
    <nav aria-label={t.shell.navigation} className="nav">
      {groups.map((group) => {
        const those = entries.filter((entry) => entry.group === group);
        if (those.length === 0) return null;
        return (
          <div key={group ?? ''}>
            {group && (
              <Text size="xs" fw={600} c="dimmed" px="sm" mt="sm" mb={2}>
                {t.shell.groups[group]}
              </Text>
            )}
            {those.map((entry) => (
              <NavItem
                key={entry.to}
                to={entry.to as '/'}
                label={entry.label}
                leftSection={<Icon name={entry.icon} />}
                active={isHere(entry, pathname)}
                aria-current={isHere(entry, pathname) ? 'page' : undefined}
                variant="light"
              />
            ))}
          </div>
        );
      })}
    </nav>
  );
}
