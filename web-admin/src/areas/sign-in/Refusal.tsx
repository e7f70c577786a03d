import { Alert } from '@mantine/core';
import type { Problem } from '@/client/problem';
import { Icon } from '@/parts/Icon';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';

/** Why nobody was signed in; no more is told than the API tells. */
export function Refusal({ problem }: { problem: Problem | null }) {
  if (!problem) return null;
  const text =
    problem.code === 'sign-in-refused'
      ? t.signIn.refused
      : problem.code === 'slowed-down'
        ? t.signIn.slowedDown(String(problem.retryAfter ?? ''))
        : undefined;
  if (!text) return <ProblemAlert error={problem} />;
  return <Alert color="red" role="alert" icon={<Icon name="warning" />} title={text} />;
}
