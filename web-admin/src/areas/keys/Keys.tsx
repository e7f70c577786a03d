import { api, type Schemas, take } from '@/client/api';
import { useMay, usePlatform } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { Icon } from '@/parts/Icon';
import { ButtonLink, TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Mark } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.keys;

type Key = Schemas['ApiKey'];

export const isExpired = ({ expires_at }: Key) => expires_at != null && Date.parse(expires_at) <= Date.now();

export function Page() {
  const may = useMay();
  const platform = usePlatform();
  const columns: Column<Key>[] = [
    {
      title: t.common.name,
      sort: 'name',
      main: true,
      cell: (item) => (
        <TextLink to="/api-keys/$id" params={{ id: item.id }}>
          {item.name}
        </TextLink>
      ),
    },
    { title: words.role, cell: (item) => t.shell.roles[item.role] },
    ...(platform ? [{ title: t.common.tenant, cell: (item: Key) => item.tenant ?? t.shell.platform }] : []),
    { title: words.scopes, cell: (item) => item.scopes?.join(', ') ?? words.everything },
    { title: words.networks, cell: (item) => item.allowed_networks.join(', ') || words.everywhere },
    { title: words.lastUsed, cell: (item) => <Time at={item.last_used_at} /> },
    { title: t.common.created, sort: 'created_at', cell: (item) => <Time at={item.created_at} /> },
    {
      title: words.expires,

      cell: (item) => (isExpired(item) ? <Mark tone="bad">{words.expired}</Mark> : <Time at={item.expires_at} />),
    },
  ];
  return (
    <>
      <PageHead
        title={words.title}
        actions={
          may('api-keys:write') && (
            <ButtonLink to="/api-keys/new" leftSection={<Icon name="plus" size={16} />}>
              {words.new}
            </ButtonLink>
          )
        }
      />
      <ResourceList
        label={words.title}
        queryKey={['api-keys']}
        fetch={({ limit, cursor, order, filters: { tenant } }) =>
          take(api.GET('/v1/api-keys', { params: { query: { limit, cursor, tenant, ...order } } }))
        }
        columns={columns}
        rowKey={(item) => item.id}
        sorts={sortsOf('/v1/api-keys')}
        filters={platform ? [{ key: 'tenant', label: t.common.tenant }] : []}
      />
    </>
  );
}
