import { Group, Text } from '@mantine/core';
import type { Schemas } from '@/client/api';
import { Bar } from '@/parts/Bar';
import { TextLink } from '@/parts/links';
import { octetsOf } from '@/parts/Octets';
import { Mark, type Tone } from '@/parts/StatusBadge';
import { Time } from '@/parts/Time';
import { number, t } from '@/text';
import styles from './overview.module.css';

const words = t.overview;

type Overview = Schemas['Overview'];

const tones: Record<Schemas['HealthState'], Tone> = { ok: 'good', warn: 'warn', down: 'bad' };

/** How each part of the service is. */
export function Health({ of }: { of: Overview['health'] }) {
  return (
    <ul className={`${styles.list} ${styles.health}`}>
      {of.map(({ part, state, text, since }) => (
        <li key={part} data-part={part} data-state={state} style={{ margin: 0 }}>
          <Group gap="xs">
            <Text fw={600}>{words.parts[part] ?? part}</Text>
            <Mark tone={tones[state]}>{words.states[state]}</Mark>
          </Group>
          <Text size="sm" c="dimmed" className="wrap">
            {text}
            {since && (
              <>
                , {words.since} <Time at={since} />
              </>
            )}
          </Text>
        </li>
      ))}
    </ul>
  );
}

/** Refused logins by their reason, the most frequent first. */
export function Failures({ of }: { of: Overview['failures'] }) {
  if (of.length === 0) return <Text size="sm">{words.failuresNone}</Text>;
  const most = Math.max(1, ...of.map((failure) => failure.count));
  return (
    <ul className={styles.list}>
      {of.map(({ reason, count }) => (
        <li key={reason} data-reason={reason}>
          <div className={styles.reason}>
            <span>{t.reasons[reason] ?? reason}</span>
            <span>{number(count)}</span>
          </div>
          <div className={`${styles.measure} ${styles.bad}`} style={{ width: `${(count / most) * 100}%` }} />
        </li>
      ))}
    </ul>
  );
}

/** The accounts that are nearly full, by the limit that they reach first. */
export function Fullest({ of }: { of: Overview['fullest'] }) {
  if (of.length === 0) return <Text size="sm">{words.fullestNone}</Text>;
  return (
    <ul className={styles.list}>
      {of.map((account) => {
        const { octets, octets_limit, messages, messages_limit } = account;
        const byMessages =
          messages_limit != null &&
          (octets_limit == null || messages / Math.max(1, messages_limit) > octets / Math.max(1, octets_limit));
        return (
          <li key={account.address}>
            <TextLink to="/accounts/$address" params={{ address: account.address }} className="wrap" size="sm">
              {account.address}
            </TextLink>
            {byMessages ? (
              <Bar label={words.messages} used={messages} limit={messages_limit} format={number} />
            ) : (
              <Bar label={words.octets} used={octets} limit={octets_limit} format={octetsOf} />
            )}
          </li>
        );
      })}
    </ul>
  );
}
