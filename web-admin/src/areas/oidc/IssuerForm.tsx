import { Checkbox, Fieldset, SimpleGrid, Stack } from '@mantine/core';
import { useState } from 'react';
import { type Role, rolesOf } from '@/areas/admins/roles';
import type { Schemas, Versioned } from '@/client/api';
import { useForm } from '@/client/form';
import { merged } from '@/client/merge';
import { FormFoot } from '@/parts/FormFoot';
import { ChoiceField, LinesField, TextField } from '@/parts/fields';
import { told } from '@/parts/notify';
import { Section } from '@/parts/Section';
import { t } from '@/text';
import { issuerOf, settingsOf } from './calls';
import { RolesField } from './RolesField';

const words = t.admins.oidc;

type Settings = Schemas['OidcIssuerSet'];

/** Claims that were left empty are none. */
function cleaned(settings: Settings): Settings {
  const { required_claim: required, role_claim: role } = settings;
  return {
    ...settings,
    required_claim: required?.name || required?.value ? { ...required, value: required.value ?? '' } : null,
    role_claim:
      role?.name || Object.keys(role?.roles ?? {}).length ? { name: role?.name ?? '', roles: role?.roles ?? {} } : null,
  };
}

export function IssuerForm({ tenant, got }: { tenant: string | null; got: Versioned<Schemas['OidcIssuer']> | null }) {
  const issuer = got?.value;
  const base = issuer && settingsOf(issuer);
  const [isPublic, setPublic] = useState(false);
  const form = useForm<Settings>({
    base,
    send: (draft) => {
      const { client_secret: secret, ...whole } = merged(base ?? {}, draft) as Settings;
      // The map is replaced as a whole: merged, no value could be taken out of it.
      if (whole.role_claim && draft.role_claim?.roles) whole.role_claim.roles = draft.role_claim.roles;
      const proof = isPublic ? { client_secret: null } : secret ? { client_secret: secret } : {};
      return issuerOf(tenant).set({ ...cleaned(whole), ...proof }, got?.etag);
    },
    refresh: ['oidc'],
    done: () => {
      setPublic(false);
      told(t.common.saved);
    },
  });
  const roles = rolesOf(tenant !== null);
  return (
    <Section title={t.common.change}>
      <form onSubmit={form.submit}>
        <Stack gap="md" maw={860}>
          <TextField
            field={form.field('/issuer')}
            label={words.issuer}
            hint={words.issuerHint}
            required
            inputMode="url"
          />
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
            <TextField field={form.field('/client_id')} label={words.clientId} required />
            <TextField
              field={form.field('/client_secret')}
              label={words.clientSecret}
              hint={issuer?.has_client_secret ? words.secretKept : words.secretNone}
              password
              autoComplete="new-password"
              disabled={isPublic}
            />
          </SimpleGrid>
          {issuer?.has_client_secret && (
            <Checkbox
              label={words.noSecret}
              checked={isPublic}
              onChange={(event) => {
                setPublic(event.currentTarget.checked);
                form.set('/client_secret', null);
              }}
            />
          )}
          <LinesField field={form.field('/extra_scopes')} label={words.scopes} hint={words.scopesHint} rows={2} />
          <Fieldset legend={words.newPeople}>
            <Stack gap="sm">
              <ChoiceField<Role>
                field={form.field('/default_role')}
                label={words.defaultRole}
                options={roles}
                empty={words.nobody}
              />
              <LinesField
                field={form.field('/allowed_domains')}
                label={words.allowedDomains}
                hint={words.allowedDomainsHint}
                rows={2}
              />
            </Stack>
          </Fieldset>
          <Fieldset legend={words.claims}>
            <Stack gap="sm">
              <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
                <TextField field={form.field('/required_claim/name')} label={words.requiredName} />
                <TextField field={form.field('/required_claim/value')} label={words.requiredValue} />
              </SimpleGrid>
              <TextField field={form.field('/role_claim/name')} label={words.roleName} />
              <RolesField field={form.field('/role_claim/roles')} roles={roles} />
            </Stack>
          </Fieldset>
        </Stack>
        <FormFoot form={form} />
      </form>
    </Section>
  );
}
