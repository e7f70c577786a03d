import { Stack, Text } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { type Role, rolesOf } from '@/areas/admins/roles';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { useMe, usePlatform } from '@/client/me';
import { FormFoot } from '@/parts/FormFoot';
import { ChoiceField, LinesField, TextField, TimeField } from '@/parts/fields';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { SecretOnce } from '@/parts/SecretOnce';
import { Section } from '@/parts/Section';
import { TenantField } from '@/parts/TenantField';
import { t } from '@/text';
import { ScopesField } from './ScopesField';

const words = t.keys;

export function Page() {
  const me = useMe();
  const platform = usePlatform();
  const navigate = useNavigate();
  const [made, setMade] = useState<Schemas['ApiKeyIssued'] | null>(null);
  const form = useForm<Schemas['ApiKeyNew']>({
    start: { '/role': 'auditor' },
    send: async ({ domains, ...body }) => {
      const whole = body.role === 'domain-admin' ? { ...body, domains: domains ?? [] } : body;
      setMade(await take(api.POST('/v1/api-keys', { body: whole })));
    },
    refresh: ['api-keys'],
  });
  const tenant = platform ? form.field('/tenant').value : me.tenant;
  const role = form.field('/role');
  const chooseTenant = (value: string | null | undefined) => {
    form.set('/tenant', value);
    if (role.value && !rolesOf(Boolean(value)).some((each) => each.value === role.value)) form.set('/role', 'auditor');
  };
  return (
    <>
      <PageHead
        title={words.new}
        trail={[
          <TextLink key="list" to="/api-keys">
            {words.title}
          </TextLink>,
        ]}
      />
      <Section title={t.common.details}>
        <form onSubmit={form.submit}>
          <Stack gap="sm" maw={720}>
            <Text size="sm">{words.about}</Text>
            <TextField field={form.field('/name')} label={words.name} required />
            {platform && (
              <TenantField field={{ ...form.field('/tenant'), onChange: chooseTenant }} hint={words.tenantHint} />
            )}
            <ChoiceField<Role>
              field={role}
              label={words.role}
              hint={role.value && t.admins.roleHints[role.value]}
              options={rolesOf(Boolean(tenant))}
              required
            />
            {role.value === 'domain-admin' && (
              <LinesField field={form.field('/domains')} label={words.domains} hint={words.domainsHint} required />
            )}
            <ScopesField field={form.field('/scopes')} />
            <LinesField field={form.field('/allowed_networks')} label={words.networks} hint={words.networksHint} />
            <TimeField field={form.field('/expires_at')} label={words.expires} hint={words.expiresHint} />
          </Stack>
          <FormFoot form={form} label={t.common.create} always />
        </form>
      </Section>
      <SecretOnce
        title={words.secretTitle}
        label={words.secretLabel}
        fileName="restante-api-key.txt"
        shown={made && { secret: made.secret }}
        onClose={() => made && navigate({ to: '/api-keys/$id', params: { id: made.id } })}
      >
        <Text size="sm">{words.secretHint}</Text>
      </SecretOnce>
    </>
  );
}
