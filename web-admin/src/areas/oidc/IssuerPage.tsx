import { Stack, Text } from '@mantine/core';
import { useMe } from '@/client/me';
import { PageHead } from '@/parts/PageHead';
import { t } from '@/text';
import { Issuer } from './Issuer';

const words = t.admins.oidc;

/** The issuer of the platform or, for a tenant's own people, of their tenant. */
export function Page() {
  const { tenant = null } = useMe();
  return (
    <>
      <PageHead title={tenant ? words.titleOf(tenant) : words.title} />
      <Stack>
        <Text>{words.about}</Text>
        <Issuer tenant={tenant} />
      </Stack>
    </>
  );
}
