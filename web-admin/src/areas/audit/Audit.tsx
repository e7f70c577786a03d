import { api, type Schemas, take } from '@/client/api';
import { usePlatform } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { Export } from './Export';

const words = t.audit;

type Entry = Schemas['AuditEvent'];

export function Page() {
  const platform = usePlatform();
  const columns: Column<Entry>[] = [
    {
      title: words.action,

      main: true,
      cell: (item) => (
        <TextLink to="/audit/$id" params={{ id: item.id }} search={{ at: item.at, target: item.target }}>
          {item.action}
        </TextLink>
      ),
    },
    { title: words.target, cell: (item) => <span className="wrap">{item.target}</span> },
    { title: words.actor, cell: (item) => item.actor },
    ...(platform ? [{ title: t.common.tenant, cell: (item: Entry) => item.tenant ?? t.shell.platform }] : []),
    { title: words.address, cell: (item) => item.address ?? words.inside },
    { title: words.when, sort: 'at', cell: (item) => <Time at={item.at} exact /> },
  ];
  return (
    <>
      <PageHead title={words.title} actions={<Export />} />
      <ResourceList
        label={words.title}
        queryKey={['audit']}
        fetch={({ limit, cursor, order, filters }) =>
          take(api.GET('/v1/audit-events', { params: { query: { limit, cursor, ...filters, ...order } } }))
        }
        columns={columns}
        rowKey={(item) => item.id}
        sorts={sortsOf('/v1/audit-events')}
        empty={words.empty}
        filters={[
          { key: 'action', label: words.actionFilter },
          { key: 'target', label: words.target },
          { key: 'actor', label: words.actor },
          ...(platform ? [{ key: 'tenant', label: t.common.tenant }] : []),
          { key: 'since', label: words.since, kind: 'time' },
          { key: 'until', label: words.until, kind: 'time' },
        ]}
      />
    </>
  );
}
