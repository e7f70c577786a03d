import { Button, Group } from '@mantine/core';
import { t } from '@/text';

interface Props {
  /** What the button says that does it. */
  verb: string;
  busy: boolean;
  /** Whether what is sent, or was sent last, is a trial. */
  tries: boolean;
  setTries: (tries: boolean) => void;
}

/** The two ways to send a job's form: as a trial, and for good. */
export function RunButtons({ verb, busy, tries, setTries }: Props) {
  return (
    <Group gap="xs">
      <Button type="submit" variant="default" loading={busy && tries} disabled={busy} onClick={() => setTries(true)}>
        {t.jobs.try}
      </Button>
      <Button type="submit" loading={busy && !tries} disabled={busy} onClick={() => setTries(false)}>
        {verb}
      </Button>
    </Group>
  );
}
