import { api, ifMatch, type Schemas } from '@/client/api';
import { useMay } from '@/client/me';
import { Life } from '@/parts/Life';
import { t } from '@/text';
import { TenantExport } from './TenantExport';

const words = t.tenants;

export function TenantLife({ tenant, etag }: { tenant: Schemas['Tenant']; etag: string | undefined }) {
  const may = useMay();
  const path = { slug: tenant.slug };
  const header = ifMatch(etag);
  const become = (status: 'active' | 'suspended', dry_run?: true) =>
    api.PATCH('/v1/tenants/{slug}', { params: { path, header, query: { dry_run } }, body: { status } });

  if (!may('tenants:write') && !may('jobs:write')) return null;
  return (
    <Life
      title={words.status}
      words={words}
      status={tenant.status}
      target={tenant.slug}
      list={{ key: 'tenants', to: '/tenants' }}
      suspension={{ words, suspend: (dry_run) => become('suspended', dry_run), resume: () => become('active') }}
      remove={(cascade, dry_run) =>
        api.DELETE('/v1/tenants/{slug}', { params: { path, header, query: { cascade, dry_run } } })
      }
      restore={() => api.POST('/v1/tenants/{slug}/restore', { params: { path } })}
      writes={may('tenants:write')}
    >
      {tenant.status !== 'deleted' && may('jobs:write') && <TenantExport slug={tenant.slug} />}
    </Life>
  );
}
