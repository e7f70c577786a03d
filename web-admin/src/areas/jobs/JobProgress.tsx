import { Alert, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, take } from '@/client/api';
import { Icon } from '@/parts/Icon';
import { Facts } from '@/parts/Section';
import { locale, number, t } from '@/text';
import { isOpen, type Job, JobBar, madeOf } from './progress';

const words = t.jobs;
const rate = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const units = [
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const;

/** A job, read again every second while it is under way. */
export function useJob(id: string | null) {
  return useQuery({
    queryKey: ['jobs', id],
    queryFn: () => take(api.GET('/v1/imports/{id}', { params: { path: { id: id ?? '' } } })),
    enabled: id !== null,
    refetchInterval: ({ state }) => (isOpen(state.data) ? 1_000 : false),
  });
}

function timeLeft({ progress, state }: Job): string | null {
  if (state !== 'running' || !progress.per_second) return null;
  const seconds = (progress.total - progress.done) / progress.per_second;
  const [unit, length] = units.find((each) => seconds >= each[1]) ?? units[2];
  const format = new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long', maximumFractionDigits: 0 });
  return words.left(format.format(Math.ceil(seconds / length)));
}

/** How far a job is: live, as long as its caller reads it again. */
export function JobProgress({ job }: { job: Job }) {
  const { progress } = job;
  const left = timeLeft(job);
  return (
    <Stack gap="sm">
      {job.state === 'failed' && (
        <Alert color="red" icon={<Icon name="warning" />} title={words.failedTitle} className="wrap">
          {job.error}
        </Alert>
      )}
      {job.dry_run && <Alert color="gray" icon={<Icon name="info" />} title={words.dryRunDetail} py="xs" />}
      <JobBar job={job} />
      <Facts
        of={[
          [madeOf(job), number(progress.made)],
          [words.unchanged, number(progress.unchanged)],
          [words.failed, number(progress.failed)],
          ...(progress.per_second
            ? [
                [
                  words.speed,
                  [words.perSecond(rate.format(progress.per_second)), left].filter(Boolean).join(', '),
                ] as const,
              ]
            : []),
        ]}
      />
    </Stack>
  );
}
