import { Button, Group, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { api, ifMatch, type Schemas, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { DestroyButton } from '@/parts/DestroyButton';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { t } from '@/text';
import { TenantExport } from './TenantExport';

const words = t.tenants;

/** What ends a tenant, for a while or for good; and what brings it back. */
export function TenantLife({ tenant, etag }: { tenant: Schemas['Tenant']; etag: string | undefined }) {
  const may = useMay();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const path = { slug: tenant.slug };
  const header = ifMatch(etag);
  const reread = () => queries.invalidateQueries({ queryKey: ['tenants'] });

  const become = useMutation({
    mutationFn: () => take(api.PATCH('/v1/tenants/{slug}', { params: { path, header }, body: { status: 'active' } })),
    onSuccess: () => told(words.resumed),
    onSettled: reread,
  });
  const restore = useMutation({
    mutationFn: () => take(api.POST('/v1/tenants/{slug}/restore', { params: { path } })),
    onSuccess: () => told(words.restored),
    onSettled: reread,
  });
  const suspend = { params: { path, header }, body: { status: 'suspended' as const } };

  if (!may('tenants:write') && !may('jobs:write')) return null;
  return (
    <Section title={words.status}>
      <ProblemAlert error={become.error ?? restore.error} />
      <Group gap="xs">
        {tenant.status === 'deleted' && may('tenants:write') && (
          <Button onClick={() => restore.mutate()} loading={restore.isPending}>
            {words.restore}
          </Button>
        )}
        {tenant.status === 'suspended' && may('tenants:write') && (
          <Button onClick={() => become.mutate()} loading={become.isPending}>
            {words.resume}
          </Button>
        )}
        {tenant.status !== 'deleted' && may('jobs:write') && <TenantExport slug={tenant.slug} />}
        {tenant.status === 'active' && may('tenants:write') && (
          <DestroyButton
            title={words.suspendTitle}
            verb={words.suspend}
            target={tenant.slug}
            trial={() =>
              takeTrial(
                api.PATCH('/v1/tenants/{slug}', {
                  ...suspend,
                  params: { ...suspend.params, query: { dry_run: true } },
                }),
              )
            }
            act={() => take(api.PATCH('/v1/tenants/{slug}', suspend))}
            done={() => {
              told(words.suspendedDone);
              void reread();
            }}
          >
            <Text size="sm">{words.suspendDetail}</Text>
          </DestroyButton>
        )}
        {tenant.status !== 'deleted' && may('tenants:write') && (
          <DestroyButton
            title={words.deleteTitle}
            verb={t.common.delete}
            target={tenant.slug}
            cascade={words.cascade}
            trial={(cascade) =>
              takeTrial(
                api.DELETE('/v1/tenants/{slug}', { params: { path, header, query: { cascade, dry_run: true } } }),
              )
            }
            act={(cascade) => take(api.DELETE('/v1/tenants/{slug}', { params: { path, header, query: { cascade } } }))}
            done={() => {
              told(words.deletedDone);
              void navigate({ to: '/tenants' }).then(reread);
            }}
          >
            <Text size="sm">{words.deleteDetail}</Text>
          </DestroyButton>
        )}
      </Group>
    </Section>
  );
}
