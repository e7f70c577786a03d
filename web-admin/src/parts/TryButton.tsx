import { Button, type ButtonProps, Group, Modal, Stack } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useId } from 'react';
import type { DryRun } from '@/client/api';
import { t } from '@/text';
import { Effects } from './Effects';
import { Loading } from './Loading';
import { ProblemAlert } from './ProblemAlert';

interface Props<T> {
  title: string;
  verb: string;
  label?: string;
  size?: ButtonProps['size'];
  children?: ReactNode;
  trial: () => Promise<DryRun>;
  act: () => Promise<T>;
  done: (result: T) => void;
}

/** A button whose act is tried and shown first. For what destroys nothing: no name is typed. */
export function TryButton<T>({ label, size, ...inside }: Props<T>) {
  const [opened, is] = useDisclosure(false);
  return (
    <>
      <Button size={size} variant="default" aria-label={label} onClick={is.open}>
        {inside.verb}
      </Button>
      <Modal opened={opened} onClose={is.close} title={inside.title} size="lg">
        {opened && <Inside {...inside} close={is.close} />}
      </Modal>
    </>
  );
}

function Inside<T>({ verb, children, trial, act, done, close }: Props<T> & { close: () => void }) {
  const id = useId();
  const tried = useQuery({ queryKey: ['trial', id], queryFn: trial, retry: false, staleTime: 0, gcTime: 0 });
  const mutation = useMutation({
    mutationFn: act,
    onSuccess: (result) => {
      close();
      done(result);
    },
  });
  return (
    <Stack>
      {children}
      {tried.isPending && <Loading />}
      <ProblemAlert error={tried.error ?? mutation.error} />
      {tried.isSuccess && <Effects effects={tried.data.effects} />}
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={close}>
          {t.common.cancel}
        </Button>
        <Button
          disabled={!tried.isSuccess}
          loading={mutation.isPending}
          onClick={() => mutation.mutate()}
          data-autofocus
        >
          {verb}
        </Button>
      </Group>
    </Stack>
  );
}
