import { Alert, Button, Code, List, Text } from '@mantine/core';
import { asProblem, type Problem } from '@/client/problem';
import { t } from '@/text';
import { Icon } from './Icon';

function wordsOf(problem: Problem): { title: string; detail: string } {
  const words = t.common.problem;
  if (problem.code === 'unreachable') return { title: words.unreachable, detail: words.unreachableDetail };
  if (problem.code === 'precondition-failed') return { title: words.changed, detail: words.changedDetail };
  if (problem.code === 'forbidden') return { title: words.forbidden, detail: problem.message };
  return { title: problem.title, detail: problem.message };
}

/** What the API refused, or that it cannot be reached; with its request's id, by which the operator's log has the cause. */
export function ProblemAlert({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error) return null;
  const problem = asProblem(error);
  const { title, detail } = wordsOf(problem);
  return (
    <Alert color="red" role="alert" title={title} icon={<Icon name="warning" />} className="wrap">
      {problem.errors.length > 0 ? (
        <List size="sm">
          {problem.errors.map((each) => (
            <List.Item key={`${each.pointer} ${each.code}`}>
              {each.pointer ? t.common.problem.field(each.pointer, each.detail) : each.detail}
            </List.Item>
          ))}
        </List>
      ) : (
        <Text size="sm">{detail}</Text>
      )}
      {problem.retryAfter && <Text size="sm">{t.common.problem.retryAfter(String(problem.retryAfter))}</Text>}
      {problem.requestId && (
        <Text size="xs" mt={4}>
          <Code>{t.common.problem.request(problem.requestId)}</Code>
        </Text>
      )}
      {retry && (
        <Button size="xs" variant="default" mt="xs" onClick={retry}>
          {t.common.retry}
        </Button>
      )}
    </Alert>
  );
}
