import { Button, Group, Modal, Stack } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useId } from 'react';
import type { DryRun } from '@/client/api';
import { Effects } from '@/parts/Effects';
import { Loading } from '@/parts/Loading';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';

interface Props {
  title: string;
  verb: string;
  onClose: () => void;
  /** What it means. */
  children?: ReactNode;
  trial: () => Promise<DryRun>;
  /** What the trial's result says, in words; the effects as the audit trail has them without it. */
  words?: (result: unknown) => ReactNode;
  act: () => Promise<unknown>;
  done: () => void;
}

/** Before something is done that destroys nothing: what it would do, as the API's own trial says. */
export function TrialDialog({ title, verb, onClose, children, trial, words, act, done }: Props) {
  const id = useId();
  const tried = useQuery({ queryKey: ['trial', id], queryFn: trial, retry: false, staleTime: 0, gcTime: 0 });
  const mutation = useMutation({
    mutationFn: act,
    onSuccess: () => {
      onClose();
      done();
    },
  });
  return (
    <Modal opened onClose={onClose} title={title} size="lg">
      <Stack>
        {children}
        <section aria-live="polite" aria-label={t.common.confirm.effects}>
          {tried.isPending && <Loading />}
          <ProblemAlert error={tried.error} />
          {tried.isSuccess && (words ? words(tried.data.result) : <Effects effects={tried.data.effects} />)}
        </section>
        <ProblemAlert error={mutation.error} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
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
    </Modal>
  );
}
