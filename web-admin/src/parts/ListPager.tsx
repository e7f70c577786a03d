import { Button, Group, Text } from '@mantine/core';
import { number, t } from '@/text';
import { Icon } from './Icon';

type Step = (() => void) | '' | undefined;

interface Props {
  label: string;
  shown: number;
  toNext: Step;
  toPrevious: Step;
  toFirst: Step;
}

/** The way through the pages of a list. The API goes forward only: the way back is what was come by. */
export function ListPager({ label, shown, toNext, toPrevious, toFirst }: Props) {
  const words = t.common.list;
  if (!toNext && !toFirst) {
    return shown > 0 ? (
      <Text size="sm" c="dimmed" role="status">
        {words.shown(number(shown))}
      </Text>
    ) : null;
  }
  return (
    <Group component="nav" gap="xs" aria-label={words.pages(label)}>
      {toFirst && (
        <Button size="xs" variant="default" onClick={toFirst}>
          {words.first}
        </Button>
      )}
      {toPrevious && (
        <Button size="xs" variant="default" leftSection={<Icon name="left" size={14} />} onClick={toPrevious}>
          {words.previous}
        </Button>
      )}
      {toNext && (
        <Button size="xs" variant="default" rightSection={<Icon name="right" size={14} />} onClick={toNext}>
          {words.next}
        </Button>
      )}
      <Text size="sm" c="dimmed" role="status">
        {words.shown(number(shown))}
      </Text>
    </Group>
  );
}
