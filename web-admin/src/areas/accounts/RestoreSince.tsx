import { Button, Modal, Stack } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type FormEvent, useState } from 'react';
import type { Schemas } from '@/client/api';
import { TimeField } from '@/parts/fields';
import { TryButton } from '@/parts/TryButton';
import { t } from '@/text';
import { useRestore } from './Expunged';

const words = t.accounts;

/** Restores all that was deleted in a time: what the trial says is what comes back. */
export function RestoreSince({ address }: { address: string }) {
  const [opened, is] = useDisclosure(false);
  const [since, setSince] = useState<string | null | undefined>(null);
  const [until, setUntil] = useState<string | null | undefined>(null);
  const { trial, act, done } = useRestore(address);
  const body: Schemas['RestoreBetween'] = { since: since ?? '', ...(until ? { until } : {}) };
  return (
    <>
      <Button size="xs" variant="default" onClick={is.open}>
        {words.restoreBetween}
      </Button>
      <Modal opened={opened} onClose={is.close} title={words.restoreBetween}>
        <form onSubmit={(event: FormEvent) => event.preventDefault()}>
          <Stack gap="sm">
            <TimeField
              field={{ name: '/since', value: since, onChange: setSince, error: undefined }}
              label={words.restoreSince}
              required
            />
            <TimeField
              field={{ name: '/until', value: until, onChange: setUntil, error: undefined }}
              label={words.restoreUntil}
            />
            {since && (
              <TryButton
                title={words.restoreBetween}
                verb={words.restoreAll}
                trial={() => trial(body)}
                act={() => act(body)}
                done={(restored) => {
                  is.close();
                  done(restored);
                }}
              />
            )}
          </Stack>
        </form>
      </Modal>
    </>
  );
}
