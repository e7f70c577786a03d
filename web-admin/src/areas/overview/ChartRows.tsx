import { Table } from '@mantine/core';
import { number, t } from '@/text';
import type { Point } from './BarChart';
import styles from './overview.module.css';
import { instantOf } from './times';

const words = t.overview;

export interface Props {
  title: string;
  good: string;
  bad: string;
  points: readonly Point[];
}

/** A chart's figures, the latest first. Loaded when they are asked for. */
export default function ChartRows({ title, good, bad, points }: Props) {
  return (
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
  );
}
