import { Group, Text } from '@mantine/core';
import { locale, t } from '@/text';
import styles from './Bar.module.css';

const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 });

interface Props {
  label: string;
  used: number;
  /** None: nothing is drawn, only what is used is told. */
  limit: number | null | undefined;
  format: (value: number) => string;
  /** Progress is good when it is full, a quota is not. */
  progress?: boolean;
}

/** How much of a quota is used, or how far something is. */
export function Bar({ label, used, limit, format, progress = false }: Props) {
  const part = limit ? used / limit : limit === 0 ? 1 : 0;
  const level = progress ? undefined : part >= 0.95 ? 'full' : part >= 0.8 ? 'high' : undefined;
  const words = limit == null ? format(used) : t.common.of(format(used), format(limit));
  return (
    <div>
      <Group justify="space-between" gap="xs" mb={4}>
        <Text size="sm" fw={500}>
          {label}
        </Text>
        <Text size="sm" c="dimmed">
          {words}
          {limit != null && ` · ${percent.format(part)}`}
        </Text>
      </Group>
      {limit != null && (
        <div
          className={styles.bar}
          role="progressbar"
          aria-label={label}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.min(100, Math.round(part * 100))}
          aria-valuetext={words}
        >
          <div className={styles.fill} data-level={level} style={{ width: `${Math.min(100, part * 100)}%` }} />
        </div>
      )}
    </div>
  );
}
