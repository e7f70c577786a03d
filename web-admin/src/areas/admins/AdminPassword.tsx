import { Stack } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { api, ifMatch, type Schemas, take, type Versioned } from '@/client/api';
import { useForm } from '@/client/form';
import { FormFoot } from '@/parts/FormFoot';
import { TextField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { Section } from '@/parts/Section';
import { t } from '@/text';

const words = t.admins;

export function AdminPassword({ got: { value: admin, etag } }: { got: Versioned<Schemas['Admin']> }) {
  const queries = useQueryClient();
  const form = useForm<Schemas['AdminPasswordSet']>({
    send: (body) => {
      const params = { path: { id: admin.id }, header: ifMatch(etag) };
      return take(api.PUT('/v1/admins/{id}/password', { params, body }));
    },
    refresh: ['admins'],
    done: () => {
      void queries.invalidateQueries({ queryKey: ['sessions'] });
      told(words.passwordDone);
    },
  });
  return (
    <Section title={words.passwordSet}>
      <form onSubmit={form.submit}>
        <Stack gap="sm">
          <input type="hidden" autoComplete="username" value={admin.name} readOnly />
          <TextField
            field={form.field('/password')}
            label={words.password}
            hint={`${words.passwordHint} ${words.passwordSetHint}`}
            password
            required
            autoComplete="new-password"
          />
        </Stack>
        <FormFoot form={form} label={words.passwordSet} />
      </form>
    </Section>
  );
}
