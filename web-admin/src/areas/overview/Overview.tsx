import { PageHead } from '@/parts/PageHead';
import { t } from '@/text';

export function Page() {
  return <PageHead title={t.shell.overview} />;
}
