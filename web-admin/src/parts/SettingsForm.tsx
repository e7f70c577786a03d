import { Fieldset, SimpleGrid, Stack, Text } from '@mantine/core';
import type { ComponentProps, ReactNode } from 'react';
import type { Schemas } from '@/client/api';
import type { Form } from '@/client/form';
import { t } from '@/text';
import { FormFoot } from './FormFoot';
import { PolicyFields } from './PolicyFields';
import { Section } from './Section';

interface Props {
  // What the levels do not share, PolicyFields leaves out.
  form: Form<Schemas['TenantPatch']>;
  level: ComponentProps<typeof PolicyFields>['level'];
  writes: boolean;
  title: string;
  /** How many of the quota's fields stand side by side. */
  columns: ComponentProps<typeof SimpleGrid>['cols'];
  quota: ReactNode;
  /** Policy that only this level has. */
  children?: ReactNode;
}

/** Quota and policy of a tenant, a domain or an account, saved together. */
export function SettingsForm({ form, level, writes, title, columns, quota, children }: Props) {
  return (
    <form onSubmit={form.submit}>
      <Fieldset variant="unstyled" disabled={!writes}>
        <Stack>
          <Section title={title}>
            <SimpleGrid cols={columns} spacing="sm">
              {quota}
            </SimpleGrid>
            <Text size="sm" c="dimmed" mt="xs">
              {t.common.unlimitedHint}
            </Text>
          </Section>
          <Section title={t.policy.title}>
            <Text size="sm" c="dimmed" mb="sm">
              {t.policy.hint}
            </Text>
            <Stack gap="sm">
              <PolicyFields form={form} level={level} />
              {children}
            </Stack>
            {writes && <FormFoot form={form} />}
          </Section>
        </Stack>
      </Fieldset>
    </form>
  );
}
