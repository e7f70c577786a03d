import { Radio, Stack } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { useMe, usePlatform } from '@/client/me';
import { FormFoot } from '@/parts/FormFoot';
import { ChoiceField, LinesField, TextField } from '@/parts/fields';
import { TextLink } from '@/parts/links';
import { PageHead } from '@/parts/PageHead';
import { Section } from '@/parts/Section';
import { TenantField } from '@/parts/TenantField';
import { t } from '@/text';
import { type Role, rolesOf } from './roles';

const words = t.admins;

export function Page() {
  const me = useMe();
  const platform = usePlatform();
  const navigate = useNavigate();
  const [proof, setProof] = useState<'password' | 'oidc'>('password');
  const form = useForm<Schemas['AdminNew']>({
    start: { '/role': 'helpdesk' },
    send: async ({ password, domains, ...body }) => {
      const made = await take(
        api.POST('/v1/admins', {
          body: {
            ...body,
            ...(body.role === 'domain-admin' ? { domains: domains ?? [] } : {}),
            ...(proof === 'password' ? { password: password ?? '' } : {}),
          },
        }),
      );
      await navigate({ to: '/admins/$id', params: { id: made.id } });
    },
    refresh: ['admins'],
  });
  const tenant = platform ? form.field('/tenant').value : me.tenant;
  const roles = rolesOf(Boolean(tenant));
  const role = form.field('/role');
  const chooseTenant = (value: string | null | undefined) => {
    form.set('/tenant', value);
    if (role.value && !rolesOf(Boolean(value)).some((each) => each.value === role.value)) form.set('/role', 'helpdesk');
  };
  return (
    <>
      <PageHead
        title={words.new}
        trail={[
          <TextLink key="list" to="/admins">
            {words.title}
          </TextLink>,
        ]}
      />
      <Section title={words.change}>
        <form onSubmit={form.submit}>
          <Stack gap="sm" maw={560}>
            {platform && (
              <TenantField field={{ ...form.field('/tenant'), onChange: chooseTenant }} hint={words.tenantHint} />
            )}
            <TextField
              field={form.field('/name')}
              label={words.name}
              hint={words.nameHint}
              required
              inputMode="email"
            />
            <TextField field={form.field('/display_name')} label={words.displayName} empty={null} />
            <ChoiceField<Role>
              field={role}
              label={words.role}
              hint={role.value && words.roleHints[role.value]}
              options={roles}
              required
            />
            {role.value === 'domain-admin' && (
              <LinesField field={form.field('/domains')} label={words.domains} hint={words.domainsHint} required />
            )}
            <Radio.Group
              label={words.proof}
              value={proof}
              onChange={(value) => setProof(value === 'oidc' ? 'oidc' : 'password')}
            >
              <Stack gap={6} mt={6}>
                <Radio value="password" label={words.byPassword} />
                <Radio value="oidc" label={words.byOidc} />
              </Stack>
            </Radio.Group>
            {proof === 'password' && (
              <TextField
                field={form.field('/password')}
                label={words.password}
                hint={words.passwordHint}
                password
                required
                autoComplete="new-password"
              />
            )}
          </Stack>
          <FormFoot form={form} label={t.common.create} always />
        </form>
      </Section>
    </>
  );
}
