import { Button, Group, Stack } from '@mantine/core';
import type { Form } from '@/client/form';
import { t } from '@/text';
import { ProblemAlert } from './ProblemAlert';

interface Props {
  form: Pick<Form<unknown>, 'busy' | 'dirty' | 'problem' | 'reset'>;
  label?: string;
  /** A form that makes something new may be sent as it stands. */
  always?: boolean;
}

/** The end of a form: what is wrong with it as a whole, and its buttons. */
export function FormFoot({ form, label = t.common.save, always = false }: Props) {
  return (
    <Stack gap="sm" mt="md">
      <ProblemAlert error={form.problem} />
      <Group gap="xs">
        <Button type="submit" loading={form.busy} disabled={!always && !form.dirty}>
          {label}
        </Button>
        {form.dirty && !always && (
          <Button variant="default" onClick={form.reset} disabled={form.busy}>
            {t.common.reset}
          </Button>
        )}
      </Group>
    </Stack>
  );
}
