import { Group, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { useForm } from '@/client/form';
import { DestroyButton } from '@/parts/DestroyButton';
import { FormFoot } from '@/parts/FormFoot';
import { TextField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { Section } from '@/parts/Section';
import { t } from '@/text';

const words = t.accounts;

export function Password({ account }: { account: Schemas['Account'] }) {
  const { address } = account;
  const queries = useQueryClient();
  const path = { address };
  const form = useForm<Schemas['PasswordClear']>({
    send: (body) => take(api.PUT('/v1/accounts/{address}/password', { params: { path }, body })),
    refresh: ['accounts', address],
    done: () => told(words.passwordSet),
  });
  return (
    <Section title={words.password}>
      <Stack gap="sm">
        <Text size="sm">{account.has_password ? words.passwordHas : words.passwordHasNot}</Text>
        <form onSubmit={form.submit}>
          <TextField
            field={form.field('/password')}
            label={words.passwordNew}
            password
            required
            autoComplete="new-password"
          />
          <FormFoot form={form} label={words.setPassword} />
        </form>
        {account.has_password && (
          <Group>
            <DestroyButton
              title={words.removePasswordTitle}
              verb={words.removePassword}
              target={address}
              trial={() =>
                takeTrial(api.DELETE('/v1/accounts/{address}/password', { params: { path, query: { dry_run: true } } }))
              }
              act={() => take(api.DELETE('/v1/accounts/{address}/password', { params: { path } }))}
              done={() => {
                told(words.passwordRemoved);
                void queries.invalidateQueries({ queryKey: ['accounts', address] });
              }}
            >
              <Text size="sm">{words.removePasswordDetail}</Text>
            </DestroyButton>
          </Group>
        )}
      </Stack>
    </Section>
  );
}
