import { Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { api, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { at } from '@/client/pointer';
import { DestroyButton } from '@/parts/DestroyButton';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { told } from '@/parts/notify';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { t } from '@/text';
import { JobErrors } from './JobErrors';
import { JobMaildrops } from './JobMaildrops';
import { JobProgress, useJob } from './JobProgress';
import { isOpen, type Job, JobMark } from './progress';

const words = t.jobs;

/** `POP3 pop.old.example:995`, of a migration. */
function sourceOf({ source }: Job): string | null {
  const host = at(source, '/host');
  if (host === undefined) return null;
  const protocol = String(at(source, '/protocol')).toUpperCase();
  return `${protocol} ${host}:${at(source, '/port')} (${at(source, '/tls')})`;
}

export function Page() {
  const { id } = useParams({ from: '/in/jobs/$id' });
  const may = useMay();
  const got = useJob(id);
  if (got.isError) return <ProblemAlert error={got.error} retry={() => got.refetch()} />;
  if (!got.data) return <Loading />;
  const job = got.data;
  const live = isOpen(job);
  const source = sourceOf(job);
  return (
    <>
      <PageHead
        title={words.titles[job.kind]}
        trail={[
          <TextLink key="list" to="/jobs">
            {words.title}
          </TextLink>,
        ]}
        badge={<JobMark state={job.state} />}
        actions={live && may('jobs:write') && <Cancel id={job.id} />}
      />
      <Stack>
        <Section title={words.progress}>
          <JobProgress job={job} />
        </Section>
        <Section title={t.common.details}>
          <Facts
            of={[
              [words.job, job.id],
              [t.common.tenant, job.tenant],
              [words.by, job.created_by],
              ...(source ? [[words.source, source] as const] : []),
              [t.common.created, <Time key="c" at={job.created_at} exact />],
              [words.began, job.started_at ? <Time key="b" at={job.started_at} exact /> : words.notYet],
              [words.ended, job.ended_at ? <Time key="e" at={job.ended_at} exact /> : words.notYet],
            ]}
          />
        </Section>
        {job.kind === 'maildrop-migration' && <JobMaildrops id={job.id} done={job.progress.done} live={live} />}
        <JobErrors id={job.id} failed={job.progress.failed} />
      </Stack>
    </>
  );
}

function Cancel({ id }: { id: string }) {
  const queries = useQueryClient();
  const path = { id };
  return (
    <DestroyButton
      verb={words.cancel}
      title={words.cancelTitle}
      target={id}
      trial={() => takeTrial(api.POST('/v1/imports/{id}/cancel', { params: { path, query: { dry_run: true } } }))}
      act={() => take(api.POST('/v1/imports/{id}/cancel', { params: { path } }))}
      done={() => {
        told(words.cancelled);
        void queries.invalidateQueries({ queryKey: ['jobs'] });
      }}
    >
      <Text>{words.cancelDetail}</Text>
    </DestroyButton>
  );
}
