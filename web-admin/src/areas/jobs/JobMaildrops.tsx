import { api, type Schemas, take } from '@/client/api';
import { sortsOf } from '@/client/sorts';
import { Octets } from '@/parts/Octets';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { number, t } from '@/text';

const words = t.jobs;

type Maildrop = Schemas['MigratedAccount'];

const columns: Column<Maildrop>[] = [
  { title: words.account, main: true, cell: (item) => item.address },
  { title: words.listed, right: true, cell: (item) => number(item.listed) },
  { title: words.imported, right: true, cell: (item) => number(item.imported) },
  { title: words.known, right: true, cell: (item) => number(item.known) },
  { title: words.skipped, right: true, cell: (item) => number(item.skipped) },
  { title: words.octets, right: true, cell: (item) => <Octets value={item.octets} /> },
  { title: words.noted, cell: (item) => <Time at={item.at} /> },
];

interface Props {
  id: string;
  /** How many have their verdict: another number, and the list is read again. */
  done: number;
  live: boolean;
}

/** How far a migration is with each maildrop. */
export function JobMaildrops({ id, done, live }: Props) {
  return (
    <Section title={words.accounts}>
      <ResourceList
        label={words.accounts}
        queryKey={['jobs', id, 'accounts', done]}
        fetch={({ limit, cursor, order }) => {
          const params = { path: { id }, query: { limit, cursor, ...order } };
          return take(api.GET('/v1/imports/{id}/accounts', { params }));
        }}
        columns={columns}
        rowKey={(item) => String(item.line)}
        sorts={sortsOf('/v1/imports/{id}/accounts')}
        empty={words.noAccounts}
        live={live ? 3_000 : undefined}
      />
    </Section>
  );
}
