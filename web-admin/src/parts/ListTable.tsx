import type { ReactNode } from 'react';
import { t } from '@/text';
import { Icon } from './Icon';
import styles from './ListTable.module.css';

export interface Column<T> {
  title: string;
  cell: (item: T) => ReactNode;
  /** The word by which the API orders this column, where it does. */
  sort?: string;
  /** Numbers stand to the right. */
  right?: boolean;
  /** The column that names the row. */
  main?: boolean;
  /** The title is for screen readers only: buttons explain themselves. */
  quiet?: boolean;
}

interface Props<T> {
  label: string;
  items: readonly T[];
  columns: readonly Column<T>[];
  rowKey: (item: T) => string;
  sorts: readonly string[];
  sort: string | undefined;
  change: (changes: { sort: string | undefined }) => void;
  stale: boolean;
}

/** A table; on a narrow screen each row is a card. The roles are said because the cards' styles would take them away. */
export function ListTable<T>({ label, items, columns, rowKey, sorts, sort, change, stale }: Props<T>) {
  return (
    <div className={styles.frame} data-stale={stale || undefined}>
      <table className={styles.table} role="table" aria-label={label} aria-busy={stale}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <Head key={column.title} column={column} sorts={sorts} sort={sort} change={change} />
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {items.map((item) => (
            <tr role="row" key={rowKey(item)} data-row={rowKey(item)}>
              {columns.map((column) => (
                <td
                  role={column.main ? 'rowheader' : 'cell'}
                  key={column.title}
                  className={column.main ? styles.main : column.right ? styles.right : undefined}
                >
                  {!column.main && !column.quiet && (
                    <span className={styles.label} aria-hidden="true">
                      {column.title}
                    </span>
                  )}
                  <div>{column.cell(item)}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

type HeadProps<T> = Pick<Props<T>, 'sorts' | 'sort' | 'change'> & { column: Column<T> };

function Head<T>({ column, sorts, sort, change }: HeadProps<T>) {
  const up = column.sort;
  const down = `-${column.sort}`;
  const canUp = up !== undefined && sorts.includes(up);
  const canDown = up !== undefined && sorts.includes(down);
  const at = up === undefined ? 'none' : sort === up ? 'ascending' : sort === down ? 'descending' : 'none';
  const next = at === 'none' ? (canUp ? up : down) : at === 'ascending' && canDown ? down : undefined;
  return (
    <th
      role="columnheader"
      scope="col"
      className={column.right ? styles.right : undefined}
      aria-sort={canUp || canDown ? at : undefined}
    >
      {canUp || canDown ? (
        <button type="button" className={styles.sort} onClick={() => change({ sort: next })} title={t.common.list.sort}>
          {column.title}
          {at !== 'none' && <Icon name={at === 'ascending' ? 'up' : 'down'} size={14} />}
        </button>
      ) : (
        <span className={column.quiet ? styles.quiet : undefined}>{column.title}</span>
      )}
    </th>
  );
}
