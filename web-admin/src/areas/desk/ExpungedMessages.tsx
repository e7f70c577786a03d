import { Button, Checkbox, Text } from '@mantine/core';
import { useState } from 'react';
import { useAddress } from '@/app/search';
import { api, type Schemas, take } from '@/client/api';
import { useMay } from '@/client/me';
import { Octets } from '@/parts/Octets';
import { type Column, type Filter, ResourceList } from '@/parts/ResourceList';
import { dayOf, Time } from '@/parts/Time';
import { t } from '@/text';
import { RestoreDialog, type Selection } from './restore';

const words = t.desk.expunged;
const mail = t.desk.mail;

type Message = Schemas['ExpungedMessage'];

const PREFIX = 'gone-';

const filters: Filter[] = [
  { key: 'session', label: words.session },
  { key: 'since', label: words.since, kind: 'time' },
  { key: 'until', label: words.until, kind: 'time' },
];

/** Deleted mail that can be restored: by choice, by time, or all that one session deleted. */
export function ExpungedMessages({ address }: { address: string }) {
  const may = useMay();
  const [search] = useAddress();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [restoring, setRestoring] = useState<Selection | null>(null);
  const session = search[`${PREFIX}session`];
  const since = search[`${PREFIX}since`];
  const until = search[`${PREFIX}until`];
  const byTime = since || until;
  // Without a beginning: from the first moment that there is.
  const all: Selection | null =
    session && byTime
      ? null
      : session
        ? { session }
        : byTime
          ? { since: since || new Date(0).toISOString(), until }
          : null;

  const choose = (id: string, wanted: boolean) =>
    setChosen((before) => {
      const after = new Set(before);
      if (wanted) after.add(id);
      else after.delete(id);
      return after;
    });

  const choice: Column<Message> = {
    title: words.choose,
    quiet: true,
    cell: (item) => (
      <Checkbox
        aria-label={words.chooseOne(item.unique_id)}
        checked={chosen.has(item.unique_id)}
        onChange={(event) => choose(item.unique_id, event.currentTarget.checked)}
      />
    ),
  };
  const columns: Column<Message>[] = [
    ...(may('messages:restore') ? [choice] : []),
    { title: words.when, main: true, cell: (item) => <Time at={item.expunged_at} /> },
    { title: mail.received, cell: (item) => <Time at={item.received_at} /> },
    { title: mail.octets, right: true, cell: (item) => <Octets value={item.octets} /> },
    { title: words.purge, cell: (item) => <time dateTime={item.purge_day}>{dayOf(item.purge_day)}</time> },
    { title: words.by, cell: (item) => <code className="wrap">{item.session}</code> },
    { title: mail.uniqueId, cell: (item) => <code className="wrap">{item.unique_id}</code> },
  ];

  return (
    <>
      <ResourceList
        label={words.list}
        queryKey={['accounts', address, 'expunged']}
        fetch={({ limit, cursor, filters: asked }) =>
          take(
            api.GET('/v1/accounts/{address}/messages/expunged', {
              params: { path: { address }, query: { limit, cursor, ...asked } },
            }),
          )
        }
        columns={columns}
        rowKey={(item) => item.unique_id}
        filters={filters}
        empty={words.empty}
        prefix={PREFIX}
        actions={
          may('messages:restore') && (
            <>
              <Button size="xs" disabled={chosen.size === 0} onClick={() => setRestoring({ unique_ids: [...chosen] })}>
                {chosen.size === 0 ? words.some : words.chosen(chosen.size)}
              </Button>
              {all && (
                <Button size="xs" variant="default" onClick={() => setRestoring(all)}>
                  {session ? words.allOfSession : words.all}
                </Button>
              )}
            </>
          )
        }
      />
      {session && byTime && may('messages:restore') && (
        <Text size="sm" c="dimmed">
          {words.both}
        </Text>
      )}
      {restoring && (
        <RestoreDialog
          address={address}
          what={restoring}
          title={words.title}
          detail={words.detail}
          verb={t.common.restore}
          onClose={() => setRestoring(null)}
          done={() => setChosen(new Set())}
        />
      )}
    </>
  );
}
