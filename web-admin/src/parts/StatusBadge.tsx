import { t } from '@/text';

export type Tone = 'good' | 'bad' | 'warn' | 'dull' | 'busy';

/** A state in a word; the colour says it again and is never all there is. */
export function Mark({ tone, children }: { tone: Tone; children: string }) {
  return (
    <span className="mark" data-tone={tone}>
      {children}
    </span>
  );
}

type Status = 'active' | 'suspended' | 'deleted';

const tones: Record<Status, Tone> = { active: 'good', suspended: 'warn', deleted: 'bad' };

export function StatusBadge({ status }: { status: Status }) {
  return <Mark tone={tones[status]}>{t.common[status]}</Mark>;
}
