import { Group } from '@mantine/core';
import { api, take } from '@/client/api';
import { useMay, usePlatform } from '@/client/me';
import { sortsOf } from '@/client/sorts';
import { ButtonLink, TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Mark } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { number, t } from '@/text';
import { type Job, JobBar, JobMark } from './progress';

const words = t.jobs;

const kinds = ['accounts-import', 'maildrop-migration'] as const;
const states = ['queued', 'running', 'done', 'failed', 'cancelled'] as const;

export function Page() {
  const may = useMay();
  const platform = usePlatform();
  const columns: Column<Job>[] = [
    {
      title: words.job,
      main: true,
      cell: (item) => (
        <TextLink to="/jobs/$id" params={{ id: item.id }}>
          {item.id}
        </TextLink>
      ),
    },
    {
      title: words.kind,

      cell: (item) => (
        <Group gap="xs">
          {words.kinds[item.kind]}
          {item.dry_run && <Mark tone="dull">{words.dryRun}</Mark>}
        </Group>
      ),
    },
    ...(platform ? [{ title: t.common.tenant, cell: (item: Job) => item.tenant }] : []),
    { title: words.by, cell: (item) => item.created_by },
    { title: words.progress, cell: (item) => <JobBar job={item} label={item.id} /> },
    { title: words.failed, right: true, cell: (item) => number(item.progress.failed) },
    { title: t.common.created, sort: 'created_at', cell: (item) => <Time at={item.created_at} /> },
    { title: words.state, cell: (item) => <JobMark state={item.state} /> },
  ];
  return (
    <>
      <PageHead
        title={words.title}
        actions={
          may('jobs:write') && (
            <>
              {may('accounts:write') && <ButtonLink to="/jobs/import">{words.newImport}</ButtonLink>}
              {may('messages:deliver') && <ButtonLink to="/jobs/migration">{words.newMigration}</ButtonLink>}
            </>
          )
        }
      />
      <ResourceList
        label={words.title}
        queryKey={['jobs']}
        fetch={({ limit, cursor, order, filters: { tenant, ...filters } }) => {
          const kind = kinds.find((each) => each === filters.kind);
          const state = states.find((each) => each === filters.state);
          const query = { limit, cursor, tenant, kind, state, ...order };
          return take(api.GET('/v1/imports', { params: { query } }));
        }}
        columns={columns}
        rowKey={(item) => item.id}
        sorts={sortsOf('/v1/imports')}
        live={3_000}
        empty={words.empty}
        filters={[
          { key: 'kind', label: words.kind, options: kinds.map((value) => ({ value, label: words.kinds[value] })) },
          { key: 'state', label: words.state, options: states.map((value) => ({ value, label: words.states[value] })) },
          ...(platform ? [{ key: 'tenant', label: t.common.tenant }] : []),
        ]}
      />
    </>
  );
}
