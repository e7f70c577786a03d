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

const words = t.webhooks;

type Webhook = Schemas['Webhook'];

export function WebhookMark({ webhook }: { webhook: Webhook }) {
  if (!webhook.enabled) return <Mark tone="dull">{words.off}</Mark>;
  return webhook.failing_since ? <Mark tone="bad">{words.failing}</Mark> : <Mark tone="good">{words.on}</Mark>;
}

export function Page() {
  const may = useMay();
  const platform = usePlatform();
  const columns: Column<Webhook>[] = [
    {
      title: words.url,
      sort: 'url',
      main: true,
      cell: (item) => (
        <TextLink to="/webhooks/$id" params={{ id: item.id }}>
          {item.url}
        </TextLink>
      ),
    },
    { title: words.description, cell: (item) => item.description || '–' },
    ...(platform ? [{ title: t.common.tenant, cell: (item: Webhook) => item.tenant ?? t.common.all }] : []),
    { title: words.events, cell: (item) => item.events.join(', ') },
    { title: t.common.created, sort: 'created_at', cell: (item) => <Time at={item.created_at} /> },
    { title: t.common.status, cell: (item) => <WebhookMark webhook={item} /> },
  ];
  return (
    <>
      <PageHead
        title={words.title}
        actions={
          may('webhooks:write') && (
            <ButtonLink to="/webhooks/new" leftSection={<Icon name="plus" size={16} />}>
              {words.new}
            </ButtonLink>
          )
        }
      />
      <ResourceList
        label={words.title}
        queryKey={['webhooks']}
        fetch={({ limit, cursor, order, filters: { tenant } }) =>
          take(api.GET('/v1/webhooks', { params: { query: { limit, cursor, tenant, ...order } } }))
        }
        columns={columns}
        rowKey={(item) => item.id}
        sorts={sortsOf('/v1/webhooks')}
        filters={platform ? [{ key: 'tenant', label: t.common.tenant }] : []}
      />
    </>
  );
}
