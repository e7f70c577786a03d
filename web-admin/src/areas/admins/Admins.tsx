import { Text } from '@mantine/core';
import { api, type Schemas, take } from '@/client/api';
import { useMay, usePlatform } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { Icon } from '@/parts/Icon';
import { ButtonLink, TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { StatusBadge } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { t } from '@/text';

const words = t.admins;

type Admin = Schemas['Admin'];

export const proofOf = (admin: Admin) =>
  admin.has_totp ? words.withCode : admin.has_password ? words.withPassword : words.withIssuer;

export function Page() {
  const may = useMay();
  const platform = usePlatform();
  const columns: Column<Admin>[] = [
    {
      title: t.common.name,
      sort: 'name',
      main: true,
      cell: (item) => (
        <>
          <TextLink to="/admins/$id" params={{ id: item.id }}>
            {item.name}
          </TextLink>
          {item.display_name !== item.name && (
            <Text size="sm" c="dimmed">
              {item.display_name}
            </Text>
          )}
        </>
      ),
    },
    { title: words.role, cell: (item) => t.shell.roles[item.role] },
    ...(platform ? [{ title: t.common.tenant, cell: (item: Admin) => item.tenant ?? t.shell.platform }] : []),
    { title: words.signsIn, cell: proofOf },
    { title: words.signedIn, cell: (item) => <Time at={item.signed_in_at} /> },
    { title: t.common.created, sort: 'created_at', cell: (item) => <Time at={item.created_at} /> },
    { title: t.common.status, cell: (item) => <StatusBadge status={item.status} /> },
  ];
  return (
    <>
      <PageHead
        title={words.title}
        actions={
          may('admins:write') && (
            <ButtonLink to="/admins/new" leftSection={<Icon name="plus" size={16} />}>
              {words.new}
            </ButtonLink>
          )
        }
      />
      <ResourceList
        label={words.list}
        queryKey={['admins']}
        fetch={({ limit, cursor, order, filters: { tenant, prefix } }) =>
          take(api.GET('/v1/admins', { params: { query: { limit, cursor, tenant, prefix, ...order } } }))
        }
        columns={columns}
        rowKey={(item) => item.id}
        sorts={sortsOf('/v1/admins')}
        filters={[
          { key: 'prefix', label: words.prefix },
          ...(platform ? [{ key: 'tenant', label: t.common.tenant }] : []),
        ]}
      />
    </>
  );
}
