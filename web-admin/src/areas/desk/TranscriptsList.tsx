import { Button, Group } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useAddress } from '@/app/search';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { ConfirmDestroy } from '@/parts/ConfirmDestroy';
import { told } from '@/parts/notify';
import { Octets } from '@/parts/Octets';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Mark } from '@/parts/StatusBadge';
import { exactly, Time } from '@/parts/Time';
import { t } from '@/text';
import { endedOf, From } from './session-cells';
import { TranscriptView } from './TranscriptView';

const words = t.desk.transcripts;

type Transcript = Schemas['Transcript'];

/** The sessions that were written down; which one is shown stands in the address. */
export function TranscriptsList({ address }: { address: string }) {
  const may = useMay();
  const queries = useQueryClient();
  const [search, setSearch] = useAddress();
  const [deleting, setDeleting] = useState<Transcript | null>(null);
  const pathOf = (id: string) => ({ path: { address, id } });
  const columns: Column<Transcript>[] = [
    { title: t.desk.past.began, main: true, cell: (item) => <Time at={item.started_at} /> },
    { title: t.desk.session.from, cell: (item) => <From of={item} /> },
    { title: words.ended, cell: (item) => endedOf(item.ended) },
    {
      title: words.length,
      cell: (item) => (
        <Group gap="xs">
          <Octets value={item.octets} />
          {item.truncated && <Mark tone="warn">{words.truncated}</Mark>}
        </Group>
      ),
    },
    {
      title: words.show,
      quiet: true,
      right: true,
      cell: (item) => (
        <Group gap="xs" justify="flex-end">
          <Button
            size="compact-sm"
            variant="default"
            aria-label={words.showLabel(exactly(item.started_at))}
            onClick={() => setSearch({ transcript: item.id }, { push: true })}
          >
            {words.show}
          </Button>
          {may('transcripts:write') && (
            <Button
              size="compact-sm"
              variant="default"
              aria-label={words.deleteLabel(exactly(item.started_at))}
              onClick={() => setDeleting(item)}
            >
              {words.deleteOne}
            </Button>
          )}
        </Group>
      ),
    },
  ];
  const one = '/v1/accounts/{address}/transcripts/{id}';
  return (
    <>
      <ResourceList
        label={words.list}
        queryKey={['accounts', address, 'transcripts']}
        fetch={({ limit, cursor }) =>
          take(
            api.GET('/v1/accounts/{address}/transcripts', { params: { path: { address }, query: { limit, cursor } } }),
          )
        }
        columns={columns}
        rowKey={(item) => item.id}
        empty={words.empty}
        prefix="tr-"
        live={15_000}
      />
      {search.transcript && (
        <TranscriptView address={address} id={search.transcript} onClose={() => setSearch({ transcript: undefined })} />
      )}
      <ConfirmDestroy
        opened={deleting !== null}
        onClose={() => setDeleting(null)}
        title={words.deleteTitle}
        verb={words.deleteOne}
        target={address}
        trial={() =>
          takeTrial(api.DELETE(one, { params: { ...pathOf(deleting?.id ?? ''), query: { dry_run: true } } }))
        }
        act={() => take(api.DELETE(one, { params: pathOf(deleting?.id ?? '') }))}
        done={() => {
          told(words.deleted);
          void queries.invalidateQueries({ queryKey: ['accounts', address, 'transcripts'] });
        }}
      />
    </>
  );
}
