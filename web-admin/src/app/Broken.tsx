import { Alert, Button, Code } from '@mantine/core';
import { Icon } from '@/parts/Icon';
import { t } from '@/text';

/** In place of a page whose own code failed, or could not be loaded because a newer release is being served. */
export function Broken({ error }: { error: unknown }) {
  return (
    <Alert color="red" role="alert" title={t.common.problem.broken} icon={<Icon name="warning" />} m="md">
      <Code block>{error instanceof Error ? error.message : String(error)}</Code>
      <Button mt="sm" size="xs" variant="default" onClick={() => location.reload()}>
        {t.common.retry}
      </Button>
    </Alert>
  );
}
