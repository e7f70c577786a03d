import { Text } from '@mantine/core';
import type { ReactNode } from 'react';
import type { Schemas } from '@/client/api';
import { useMay } from '@/client/me';
import { TextLink } from '@/parts/links';
import { octetsOf } from '@/parts/Octets';
import { count, locale, number, t } from '@/text';
import styles from './overview.module.css';

const words = t.overview;
const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 });

type Overview = Schemas['Overview'];

/** The figures that are read first. */
export function Tiles({ of, tenant }: { of: Overview; tenant: string | undefined }) {
  const may = useMay();
  const sum = (what: 'logins' | 'failures' | 'deliveries' | 'refused') =>
    of.series.reduce((all, bucket) => all + bucket[what], 0);
  const share = (bad: number, good: number) =>
    words.refusedShare(number(bad), percent.format(bad === 0 ? 0 : bad / (bad + good)));
  return (
    <ul className={styles.tiles}>
      <Tile name={words.accounts} figure={number(of.accounts)}>
        {words.suspended(number(of.suspended))}
      </Tile>
      <Tile name={words.stored} figure={octetsOf(of.octets)}>
        {count(of.messages, words.message)}
        <br />
        {of.octets_limit == null
          ? words.noLimit
          : words.ofLimit(
              percent.format(of.octets_limit === 0 ? 1 : of.octets / of.octets_limit),
              octetsOf(of.octets_limit),
            )}
      </Tile>
      <Tile name={words.sessions} figure={number(of.sessions)}>
        {may('sessions:read') && (
          <TextLink to="/live-sessions" search={tenant ? { tenant } : {}}>
            {words.sessionsLink}
          </TextLink>
        )}
      </Tile>
      <Tile name={words.logins} figure={number(sum('logins'))}>
        {share(sum('failures'), sum('logins'))}
      </Tile>
      <Tile name={words.deliveries} figure={number(sum('deliveries'))}>
        {share(sum('refused'), sum('deliveries'))}
      </Tile>
    </ul>
  );
}

function Tile({ name, figure, children }: { name: string; figure: string; children?: ReactNode }) {
  return (
    <li className={`panel ${styles.tile}`}>
      <Text size="sm" fw={600}>
        {name}
      </Text>
      <span className={styles.figure}>{figure}</span>
      <Text size="sm" c="dimmed" component="span">
        {children}
      </Text>
    </li>
  );
}
