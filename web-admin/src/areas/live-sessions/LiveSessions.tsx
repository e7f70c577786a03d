import { api, take } from '@/client/api';
import { usePlatform } from '@/client/me';
import { PageHead } from '@/parts/PageHead';
import type { Filter } from '@/parts/ResourceList';
import { t } from '@/text';
import { LiveSessionsList } from '../desk/LiveSessionsList';

const words = t.desk.live;

const account: Filter = { key: 'account', label: words.account };
const domain: Filter = { key: 'domain', label: t.common.domain };
const tenant: Filter = { key: 'tenant', label: t.common.tenant };

export function Page() {
  const platform = usePlatform();
  return (
    <>
      <PageHead title={words.title} />
      <LiveSessionsList
        of="all"
        named
        filters={platform ? [account, domain, tenant] : [account, domain]}
        fetch={({ limit, cursor, filters }) =>
          take(api.GET('/v1/live-sessions', { params: { query: { limit, cursor, ...filters } } }))
        }
      />
    </>
  );
}
