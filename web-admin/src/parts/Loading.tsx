import { Center, Loader } from '@mantine/core';
import { t } from '@/text';

export function Loading() {
  return (
    <Center py="xl" role="status" aria-label={t.common.loading}>
      <Loader />
    </Center>
  );
}
