import { ActionIcon, Menu, Text, useMantineColorScheme } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useMe } from '@/client/me';
import { asProblem } from '@/client/problem';
import { signOut } from '@/client/session';
import { Icon, type IconName } from '@/parts/Icon';
import { told } from '@/parts/notify';
import { t } from '@/text';

const schemes = [
  ['light', t.shell.light, 'sun'],
  ['dark', t.shell.dark, 'moon'],
  ['auto', t.shell.auto, 'system'],
] as const satisfies [string, string, IconName][];

export function useSignOut() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  return async (everywhere: boolean) => {
    try {
      await signOut(everywhere);
      queries.clear();
      await navigate({ to: '/sign-in' });
    } catch (error) {
      const problem = asProblem(error);
      told(problem.title || t.common.problem.unreachable);
    }
  };
}

export function UserMenu() {
  const me = useMe();
  const navigate = useNavigate();
  const leave = useSignOut();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Menu position="bottom-end" width={260} withinPortal>
      <Menu.Target>
        <ActionIcon variant="default" size={36} aria-label={t.shell.account(me.name)}>
          <Icon name="person" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label className="wrap">
          <Text size="sm" fw={600} c="var(--mantine-color-text)">
            {me.display_name || me.name}
          </Text>
          {me.display_name ? `${me.name} · ` : ''}
          {t.shell.roles[me.role]} · {me.tenant ?? t.shell.platform}
        </Menu.Label>
        <Menu.Item leftSection={<Icon name="person" />} onClick={() => navigate({ to: '/profile' })}>
          {t.shell.profile}
        </Menu.Item>
        <Menu.Divider />
        <Menu.Label>{t.shell.colours}</Menu.Label>
        {schemes.map(([scheme, label, icon]) => (
          <Menu.Item
            key={scheme}
            role="menuitemradio"
            aria-checked={colorScheme === scheme}
            leftSection={<Icon name={icon} />}
            rightSection={colorScheme === scheme ? <Icon name="check" size={14} /> : null}
            onClick={() => setColorScheme(scheme)}
          >
            {label}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item onClick={() => leave(false)}>{t.shell.signOut}</Menu.Item>
        <Menu.Item onClick={() => leave(true)}>{t.shell.signOutEverywhere}</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
