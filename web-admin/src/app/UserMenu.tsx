import {
  ActionIcon,
  Button,
  Divider,
  type MantineColorScheme,
  NativeSelect,
  Popover,
  Stack,
  Text,
  useMantineColorScheme,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMe } from '@/client/me';
import { Icon } from '@/parts/Icon';
import { ButtonLink } from '@/parts/links';
import { t } from '@/text';
import { useSignOut } from './sign-out';

const words = t.shell;

const schemes: { value: MantineColorScheme; label: string }[] = [
  { value: 'auto', label: words.auto },
  { value: 'light', label: words.light },
  { value: 'dark', label: words.dark },
];

/** Who is signed in, the colours, and the way out. */
export function UserMenu() {
  const me = useMe();
  const leave = useSignOut();
  const [opened, is] = useDisclosure(false);
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Popover
      opened={opened}
      onChange={(now) => !now && is.close()}
      position="bottom-end"
      width={270}
      trapFocus
      withinPortal={false}
    >
      <Popover.Target>
        <ActionIcon variant="default" size={36} aria-label={words.account(me.name)} onClick={is.toggle}>
          <Icon name="person" />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown aria-label={words.account(me.name)}>
        <Stack gap="xs">
          <div className="wrap">
            <Text fw={600}>{me.display_name || me.name}</Text>
            {me.display_name && <Text size="sm">{me.name}</Text>}
            <Text size="sm" c="dimmed">
              {words.roles[me.role]} · {me.tenant ?? words.platform}
            </Text>
          </div>
          <ButtonLink variant="default" to="/profile" onClick={is.close}>
            {words.profile}
          </ButtonLink>
          <NativeSelect
            label={words.colours}
            value={colorScheme}
            data={schemes}
            onChange={(event) => setColorScheme(event.currentTarget.value as MantineColorScheme)}
          />
          <Divider />
          <Button variant="default" onClick={() => leave(false)}>
            {words.signOut}
          </Button>
          <Button variant="default" onClick={() => leave(true)}>
            {words.signOutEverywhere}
          </Button>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}
