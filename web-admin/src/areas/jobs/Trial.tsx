import { Stack } from '@mantine/core';
import { useEffect, useRef } from 'react';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Section } from '@/parts/Section';
import { t } from '@/text';
import { JobErrors } from './JobErrors';
import { JobProgress, useJob } from './JobProgress';
import { JobMark } from './progress';

const words = t.jobs;

/** What a trial came to, beside the form that it was of: what is wrong is mended there, and sent again. */
export function Trial({ id }: { id: string }) {
  const got = useJob(id);
  const top = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each trial is shown where it is read
  useEffect(() => {
    // What it answers (a promise, in newer browsers) is no clean-up.
    top.current?.scrollIntoView({ block: 'nearest' });
  }, [id]);
  return (
    <div ref={top}>
      <Stack>
        <Section title={words.trial} actions={got.data && <JobMark state={got.data.state} />}>
          <Stack gap="sm">
            {got.isError && <ProblemAlert error={got.error} retry={() => got.refetch()} />}
            {got.isPending && <Loading />}
            {got.data && <JobProgress job={got.data} />}
            <TextLink to="/jobs/$id" params={{ id }} size="sm">
              {words.toJob}
            </TextLink>
          </Stack>
        </Section>
        {got.data && got.data.progress.failed > 0 && <JobErrors id={id} failed={got.data.progress.failed} />}
      </Stack>
    </div>
  );
}
