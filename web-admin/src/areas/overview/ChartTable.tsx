import { Table } from '@mantine/core';
import { useState } from 'react';
import { number, t } from '@/text';
import type { Point } from './BarChart';
import styles from './overview.module.css';
import { instantOf } from './times';

const words = t.overview;

interface Props {
  title: string;
  good: string;
  bad: string;
  points: readonly Point[];
}

/** The figures of a chart, the latest first, for who does not see it and who wants them exactly. */
export function ChartTable({ title, good, bad, points }: Props) {
  const [opened, setOpened] = useState(false);
  return (
    <details className={styles.details} onToggle={(event) => setOpened(event.currentTarget.open)}>
      <summary>{words.table}</summary>
      {opened && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
        <section className={styles.rows} tabIndex={0} aria-label={words.tableOf(title)}>
          <Table fz="sm" verticalSpacing={3} aria-label={title}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{words.begins}</Table.Th>
                <Table.Th ta="right">{good}</Table.Th>
                <Table.Th ta="right">{bad}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {points.toReversed().map((point) => (
                <Table.Tr key={point.at}>
                  <Table.Td>
                    <time dateTime={point.at}>{instantOf(point.at)}</time>
                  </Table.Td>
                  <Table.Td ta="right">{number(point.good)}</Table.Td>
                  <Table.Td ta="right">{number(point.bad)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </section>
      )}
    </details>
  );
}
