import { api, ifMatch, type Schemas } from '@/client/api';
import { Life } from '@/parts/Life';
import { t } from '@/text';

const words = t.domains;

export function DomainLife({ domain, etag }: { domain: Schemas['Domain']; etag: string | undefined }) {
  const path = { name: domain.name };
  const { tenant } = domain;
  return (
    <Life
      title={words.delete}
      words={words}
      status={domain.deleted_at ? 'deleted' : 'active'}
      target={domain.name}
      list={{ key: 'domains', to: '/domains' }}
      remove={(cascade, dry_run) =>
        api.DELETE('/v1/domains/{name}', {
          params: { path, query: { tenant, cascade, dry_run }, header: ifMatch(etag) },
        })
      }
      restore={() => api.POST('/v1/domains/{name}/restore', { params: { path, query: { tenant } } })}
    />
  );
}
