import { Checkbox, Stack } from '@mantine/core';
import { useState } from 'react';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { FormFoot } from '@/parts/FormFoot';
import { FormModal } from '@/parts/FormModal';
import { CheckField, LinesField, TextField, TimeField } from '@/parts/fields';
import { SecretOnce } from '@/parts/SecretOnce';
import { t } from '@/text';
import { SetUp } from './SetUp';

const words = t.accounts;

type Issued = Schemas['AppPasswordIssued'];

interface FormProps {
  address: string;
  made: (issued: Issued) => void;
}

function AppPasswordForm({ address, made }: FormProps) {
  const form = useForm<Schemas['AppPasswordNew']>({
    send: async (body) =>
      made(await take(api.POST('/v1/accounts/{address}/app-passwords', { params: { path: { address } }, body }))),
    refresh: ['accounts', address, 'app-passwords'],
  });
  const scopes = form.field('/scopes');
  return (
    <form onSubmit={form.submit}>
      <Stack gap="sm">
        <TextField
          field={form.field('/name')}
          label={words.appPasswordName}
          hint={words.appPasswordNameHint}
          required
        />
        <Checkbox
          label={words.mayDelete}
          checked={scopes.value?.includes('delete') ?? true}
          error={scopes.error}
          onChange={(event) => scopes.onChange(event.currentTarget.checked ? ['read', 'delete'] : ['read'])}
        />
        <TimeField field={form.field('/expires_at')} label={words.expires} hint={words.expiresHint} />
        <LinesField field={form.field('/allowed_networks')} label={words.networks} />
        <CheckField field={form.field('/legacy')} label={words.legacy} hint={words.legacyHint} />
      </Stack>
      <FormFoot form={form} label={t.common.create} always />
    </form>
  );
}

/** Makes an app password and shows it, once, with how to set the mail client up. */
export function NewAppPassword({ account }: { account: Schemas['Account'] }) {
  const [issued, setIssued] = useState<Issued | null>(null);
  return (
    <>
      <FormModal label={words.appPasswordNew}>
        {(close) => (
          <AppPasswordForm
            address={account.address}
            made={(one) => {
              close();
              setIssued(one);
            }}
          />
        )}
      </FormModal>
      <SecretOnce
        title={words.appPasswordMade}
        label={issued?.name ?? ''}
        fileName={`${account.address}-app-password.txt`}
        shown={issued && { secret: issued.secret }}
        onClose={() => setIssued(null)}
      >
        <SetUp account={account} />
      </SecretOnce>
    </>
  );
}
