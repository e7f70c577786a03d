import { Stack } from '@mantine/core';
import { api, ifMatch, type Schemas, take, type Versioned } from '@/client/api';
import { useForm } from '@/client/form';
import { FormFoot } from '@/parts/FormFoot';
import { ChoiceField, LinesField, TextField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { Section } from '@/parts/Section';
import { t } from '@/text';
import { type Role, rolesOf } from './roles';

const words = t.admins;

export function AdminForm({ got: { value: admin, etag } }: { got: Versioned<Schemas['Admin']> }) {
  const form = useForm<Schemas['AdminPatch']>({
    base: admin,
    send: (body) => {
      const params = { path: { id: admin.id }, header: ifMatch(etag) };
      const domains = body.role && body.role !== 'domain-admin' ? { domains: null } : {};
      return take(api.PATCH('/v1/admins/{id}', { params, body: { ...body, ...domains } }));
    },
    refresh: ['admins'],
    done: () => told(t.common.saved),
  });
  const role = form.field('/role');
  return (
    <Section title={words.change}>
      <form onSubmit={form.submit}>
        <Stack gap="sm">
          <TextField field={form.field('/name')} label={words.name} hint={words.nameHint} required inputMode="email" />
          <TextField field={form.field('/display_name')} label={words.displayName} />
          <ChoiceField<Role>
            field={role}
            label={words.role}
            hint={role.value && words.roleHints[role.value]}
            options={rolesOf(admin.tenant != null)}
          />
          {role.value === 'domain-admin' && (
            <LinesField field={form.field('/domains')} label={words.domains} hint={words.domainsHint} />
          )}
        </Stack>
        <FormFoot form={form} />
      </form>
    </Section>
  );
}
