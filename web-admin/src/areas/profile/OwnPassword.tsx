import { Stack } from '@mantine/core';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { FormFoot } from '@/parts/FormFoot';
import { TextField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { Section } from '@/parts/Section';
import { t } from '@/text';

const words = t.profile;

export function OwnPassword({ name }: { name: string }) {
  const form = useForm<Schemas['OwnPasswordSet']>({
    send: (body) => take(api.PUT('/v1/me/password', { body })),
    refresh: ['sessions'],
    done: () => told(words.passwordDone),
  });
  return (
    <Section title={words.password}>
      <form onSubmit={form.submit}>
        <Stack gap="sm">
          <input type="hidden" autoComplete="username" value={name} readOnly />
          <TextField
            field={form.field('/current_password')}
            label={words.passwordNow}
            password
            required
            autoComplete="current-password"
          />
          <TextField
            field={form.field('/new_password')}
            label={words.passwordNew}
            hint={words.passwordHint}
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
