import type { Schemas } from '@/client/api';
import { Bar } from '@/parts/Bar';
import { Mark, type Tone } from '@/parts/StatusBadge';
import { number, t } from '@/text';

const words = t.jobs;

export type Job = Schemas['ImportBody'];

const tones: Record<Job['state'], Tone> = {
  queued: 'busy',
  running: 'busy',
  done: 'good',
  failed: 'bad',
  cancelled: 'warn',
};

export const isOpen = (job: Job | undefined) => job?.state === 'queued' || job?.state === 'running';

export function JobMark({ state }: { state: Job['state'] }) {
  return <Mark tone={tones[state]}>{words.states[state]}</Mark>;
}

/** What the verdict "made" means for this job. */
export function madeOf(job: Job): string {
  if (job.kind === 'maildrop-migration') return job.dry_run ? words.wouldBring : words.brought;
  return job.dry_run ? words.wouldMake : words.made;
}

export function JobBar({ job: { progress }, label = words.progress }: { job: Job; label?: string }) {
  return <Bar label={label} used={progress.done} limit={progress.total} format={number} progress />;
}
