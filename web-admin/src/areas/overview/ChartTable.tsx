import { lazy, Suspense, useState } from 'react';
import { Loading } from '@/parts/Loading';
import { t } from '@/text';
import type { Props } from './ChartRows';
import styles from './overview.module.css';

const ChartRows = lazy(() => import('./ChartRows'));

/** The figures of a chart for who does not see it, and who wants them exactly. */
export function ChartTable(props: Props) {
  const [opened, setOpened] = useState(false);
  return (
    <details className={styles.details} onToggle={(event) => setOpened(event.currentTarget.open)}>
      <summary>{t.overview.table}</summary>
      <Suspense fallback={<Loading />}>{opened && <ChartRows {...props} />}</Suspense>
    </details>
  );
}
