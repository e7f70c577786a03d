import { Button, Group, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type LinkProps, useNavigate } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { type Answer, take, takeTrial } from '@/client/api';
import { t } from '@/text';
import { DestroyButton } from './DestroyButton';
import { told } from './notify';
import { ProblemAlert } from './ProblemAlert';
import { Section } from './Section';

interface Words {
  restore: string;
  restored: string;
  deleteTitle: string;
  deleteDetail: string;
  deletedDone: string;
  cascade: string;
}

interface SuspendWords {
  resume: string;
  resumed: string;
  suspend: string;
  suspendTitle: string;
  suspendDetail: string;
  suspendedDone: string;
}

/** What stops something for a while. */
export interface Suspension {
  words: SuspendWords;
  suspend: (dry_run?: true) => Promise<Answer<unknown>>;
  resume: () => Promise<Answer<unknown>>;
}

interface Props {
  title: string;
  words: Words;
  status: 'active' | 'suspended' | 'deleted';
  /** The name to be typed back. */
  target: string;
  /** The list it is in: read anew after each act, and shown when it is deleted. */
  list: { key: string; to: LinkProps['to'] };
  suspension?: Suspension;
  remove: (cascade: boolean, dry_run?: true) => Promise<Answer<unknown>>;
  restore: () => Promise<Answer<unknown>>;
  /** Without it, there is only `children`. */
  writes?: boolean;
  children?: ReactNode;
}

/** What ends something, for a while or for good; and what brings it back. */
export function Life({
  title,
  words,
  status,
  target,
  list,
  suspension,
  remove,
  restore,
  writes = true,
  children,
}: Props) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const reread = () => queries.invalidateQueries({ queryKey: [list.key] });
  const revive = useMutation({
    mutationFn: ({ call }: { call: () => Promise<Answer<unknown>>; done: string }) => take(call()),
    onSuccess: (_, { done }) => told(done),
    onSettled: reread,
  });
  const back = (label: string, done: string, call: () => Promise<Answer<unknown>>) => (
    <Button onClick={() => revive.mutate({ call, done })} loading={revive.isPending}>
      {label}
    </Button>
  );
  return (
    <Section title={title}>
      <ProblemAlert error={revive.error} />
      <Group gap="xs">
        {children}
        {writes && status === 'deleted' && back(words.restore, words.restored, restore)}
        {writes &&
          suspension &&
          status === 'suspended' &&
          back(suspension.words.resume, suspension.words.resumed, suspension.resume)}
        {writes && suspension && status === 'active' && (
          <DestroyButton
            title={suspension.words.suspendTitle}
            verb={suspension.words.suspend}
            target={target}
            trial={() => takeTrial(suspension.suspend(true))}
            act={() => take(suspension.suspend())}
            done={() => {
              told(suspension.words.suspendedDone);
              void reread();
            }}
          >
            <Text size="sm">{suspension.words.suspendDetail}</Text>
          </DestroyButton>
        )}
        {writes && status !== 'deleted' && (
          <DestroyButton
            title={words.deleteTitle}
            verb={t.common.delete}
            target={target}
            cascade={words.cascade}
            trial={(cascade) => takeTrial(remove(cascade, true))}
            act={(cascade) => take(remove(cascade))}
            done={() => {
              told(words.deletedDone);
              void navigate({ to: list.to }).then(reread);
            }}
          >
            <Text size="sm">{words.deleteDetail}</Text>
          </DestroyButton>
        )}
      </Group>
    </Section>
  );
}
