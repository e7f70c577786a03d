import { Checkbox } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { told } from '@/parts/notify';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { dayOf, Time } from '@/parts/Time';
import { TryButton } from '@/parts/TryButton';
import { count, t } from '@/text';
import { messageColumns } from './Messages';
import { RestoreSince } from './RestoreSince';

const words = t.accounts;

type Gone = Schemas['ExpungedMessage'];
type Wanted = Schemas['MessagesRestore'];

/** The most that the API restores by their ids at once. */
const AT_ONCE = 1000;

/** How deleted messages are brought back: some of them, those of a time, or those of a session. */
export function useRestore(address: string) {
  const queries = useQueryClient();
  const ask = (body: Wanted, dry_run?: true) =>
    api.POST('/v1/accounts/{address}/messages/restore', { params: { path: { address }, query: { dry_run } }, body });
  return {
    trial: (body: Wanted) => takeTrial(ask(body, true)),
    act: (body: Wanted) => take(ask(body)),
    done: ({ messages }: Schemas['RestoredBody']) => {
      told(words.restoredMessages(count(messages, words.message)));
      void queries.invalidateQueries({ queryKey: ['accounts', address] });
    },
  };
}

export function Expunged({ address }: { address: string }) {
  const restores = useMay()('messages:restore');
  const { trial, act, done } = useRestore(address);
  const [chosen, choose] = useState<readonly string[]>([]);
  const wanted = { unique_ids: [...chosen] };
  const columns: Column<Gone>[] = [
    ...(restores
      ? [
          {
            title: words.choose,
            quiet: true,
            cell: ({ unique_id: id }: Gone) => (
              <Checkbox
                aria-label={words.chooseLabel(id)}
                checked={chosen.includes(id)}
                disabled={!chosen.includes(id) && chosen.length >= AT_ONCE}
                onChange={({ currentTarget }) =>
                  choose(currentTarget.checked ? [...chosen, id] : chosen.filter((one) => one !== id))
                }
              />
            ),
          },
        ]
      : []),
    ...messageColumns,
    { title: words.deletedWhen, cell: (item) => <Time at={item.expunged_at} /> },
    { title: words.purge, cell: (item) => dayOf(item.purge_day) },
    ...(restores
      ? [
          {
            title: words.restoreOne,
            quiet: true,
            right: true,
            cell: (item: Gone) => {
              const body = { unique_ids: [item.unique_id] };
              return (
                <TryButton
                  size="compact-sm"
                  label={words.restoreLabel(item.unique_id)}
                  title={words.restoreLabel(item.unique_id)}
                  verb={words.restoreOne}
                  trial={() => trial(body)}
                  act={() => act(body)}
                  done={done}
                />
              );
            },
          },
        ]
      : []),
  ];
  return (
    <Section
      title={words.messagesDeleted}
      actions={
        restores && (
          <>
            {chosen.length > 0 && (
              <TryButton
                size="xs"
                title={words.restoreChosen(count(chosen.length, words.message))}
                verb={words.restoreChosen(count(chosen.length, words.message))}
                trial={() => trial(wanted)}
                act={() => act(wanted)}
                done={(restored) => {
                  choose([]);
                  done(restored);
                }}
              />
            )}
            <RestoreSince address={address} />
          </>
        )
      }
    >
      <ResourceList
        label={words.messagesDeleted}
        queryKey={['accounts', address, 'expunged']}
        prefix="deleted-"
        fetch={({ limit, cursor, filters: { since, until } }) =>
          take(
            api.GET('/v1/accounts/{address}/messages/expunged', {
              params: { path: { address }, query: { limit, cursor, since, until } },
            }),
          )
        }
        columns={columns}
        rowKey={(item) => item.unique_id}
        filters={[
          { key: 'since', label: words.restoreSince, kind: 'time' },
          { key: 'until', label: words.until, kind: 'time' },
        ]}
        empty={words.messagesDeletedEmpty}
      />
    </Section>
  );
}
