import { Anchor, Button, Modal, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useSignOut } from '@/app/sign-out';
import { ME, type Me } from '@/client/me';
import { t } from '@/text';
import { Credentials } from './Credentials';
import { issuerOf } from './Organisation';

/** Over the page whose sign-in has ended: the page stays, and what it was about to send is sent afterwards. */
export default function Expired() {
  const me = useQueryClient().getQueryData<Me>(ME);
  const leave = useSignOut();
  const byPassword = me?.has_password !== false;
  return (
    <Modal
      opened
      onClose={() => undefined}
      title={t.signIn.expired}
      withCloseButton={false}
      closeOnEscape={false}
      closeOnClickOutside={false}
      zIndex={400}
    >
      <Stack>
        <Text size="sm">{t.signIn.expiredDetail}</Text>
        {byPassword ? (
          <Credentials name={me?.name} done={() => undefined} />
        ) : (
          <Button component="a" href={issuerOf(me?.tenant ?? undefined)} target="_blank" rel="noreferrer">
            {t.signIn.expiredOidc}
          </Button>
        )}
        <Anchor component="button" type="button" size="sm" onClick={() => leave(false)}>
          {t.signIn.leave}
        </Anchor>
      </Stack>
    </Modal>
  );
}
