import { Text } from '@mantine/core';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { t } from '@/text';

/** Where nothing stands around it. */
export function NotFoundAlone() {
  return (
    <main className="page">
      <NotFound />
    </main>
  );
}

export function NotFound() {
  return (
    <>
      <PageHead title={t.shell.notFound} />
      <Text mb="md">{t.shell.notFoundDetail}</Text>
      <TextLink to="/">{t.shell.home}</TextLink>
    </>
  );
}
