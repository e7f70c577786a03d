import { Button, Checkbox, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useId, useState } from 'react';
import type { DryRun } from '@/client/api';
import { t } from '@/text';
import { Effects } from './Effects';
import { Loading } from './Loading';
import { ProblemAlert } from './ProblemAlert';

interface Props {
  opened: boolean;
  onClose: () => void;
  title: string;
  /** What the button says. */
  verb: string;
  /** The name to type back. */
  target: string;
  /** The text of a box that includes what depends on it. */
  cascade?: string;
  /** More about what it means. */
  children?: ReactNode;
  trial: (cascade: boolean) => Promise<DryRun>;
  act: (cascade: boolean) => Promise<unknown>;
  done: () => void;
}

/** Before something is destroyed: what exactly would happen, as the API's own trial says, and the name typed back. */
export function ConfirmDestroy(props: Props) {
  return (
    <Modal opened={props.opened} onClose={props.onClose} title={props.title} size="lg">
      {props.opened && <Inside {...props} />}
    </Modal>
  );
}

function Inside({ onClose, verb, target, cascade, children, trial, act, done }: Props) {
  const [typed, setTyped] = useState('');
  const [with_, setWith] = useState(false);
  const id = useId();
  const words = t.common.confirm;
  const tried = useQuery({
    queryKey: ['trial', id, with_],
    queryFn: () => trial(with_),
    retry: false,
    staleTime: 0,
    gcTime: 0,
  });
  const mutation = useMutation({
    mutationFn: () => act(with_),
    onSuccess: () => {
      onClose();
      done();
    },
  });
  const fits = typed.trim() === target;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (fits && tried.isSuccess) mutation.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        {children}
        <section aria-live="polite" aria-label={words.effects}>
          {tried.isPending && <Loading />}
          {tried.isError && <ProblemAlert error={tried.error} />}
          {tried.isSuccess && (
            <>
              <Text fw={600} mb={4}>
                {words.effects}
              </Text>
              <Effects effects={tried.data.effects} />
            </>
          )}
        </section>
        {cascade && (
          <Checkbox label={cascade} checked={with_} onChange={(event) => setWith(event.currentTarget.checked)} />
        )}
        <TextInput
          label={words.typed(target)}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
          autoComplete="off"
          spellCheck={false}
          autoCapitalize="none"
          data-autofocus
        />
        <ProblemAlert error={mutation.error} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {t.common.cancel}
          </Button>
          <Button type="submit" color="red" disabled={!fits || !tried.isSuccess} loading={mutation.isPending}>
            {verb}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
