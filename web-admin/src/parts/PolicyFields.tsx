import { Group, NativeSelect, SimpleGrid, TextInput } from '@mantine/core';
import type { Schemas } from '@/client/api';
import type { Field, Form } from '@/client/form';
import { t } from '@/text';
import { ChoiceField, NumberField, optionsOf } from './fields';

const words = t.policy;

type View = Schemas['ViewWord'] | null | undefined;
type Expire = Schemas['ExpireWord'] | null | undefined;

export type Level = 'tenant' | 'domain' | 'account';

const above: Record<Level, string> = {
  tenant: words.inherited,
  domain: words.inheritedDomain,
  account: words.inheritedAccount,
};

function ViewField({ field, empty }: { field: Field<View>; empty: string }) {
  const days = typeof field.value === 'object' && field.value !== null ? field.value.last_days : null;
  const word = days !== null ? 'last_days' : ((field.value as string | null | undefined) ?? '');
  return (
    <Group align="flex-end" wrap="nowrap" gap="xs">
      <NativeSelect
        flex={1}
        label={words.view}
        name={field.name}
        value={word}
        error={field.error}
        data={[{ value: '', label: empty }, ...optionsOf(words.views)]}
        onChange={({ currentTarget: { value } }) =>
          field.onChange(value === 'last_days' ? { last_days: 30 } : ((value || null) as View))
        }
      />
      {days !== null && (
        <Days label={words.viewDays} value={days} change={(last_days) => field.onChange({ last_days })} />
      )}
    </Group>
  );
}

function ExpireField({ field, empty }: { field: Field<Expire>; empty: string }) {
  const days = typeof field.value === 'number' ? field.value : null;
  return (
    <Group align="flex-end" wrap="nowrap" gap="xs">
      <NativeSelect
        flex={1}
        label={words.expire}
        name={field.name}
        value={days !== null ? 'days' : (field.value ?? '')}
        error={field.error}
        data={[{ value: '', label: empty }, ...optionsOf(words.expires)]}
        onChange={({ currentTarget: { value } }) => field.onChange(value === 'days' ? 90 : ((value || null) as Expire))}
      />
      {days !== null && <Days label={words.expireDays} value={days} change={field.onChange} />}
    </Group>
  );
}

function Days({ label, value, change }: { label: string; value: number; change: (value: number) => void }) {
  return (
    <TextInput
      w={90}
      type="number"
      min={1}
      max={36500}
      aria-label={label}
      value={value}
      onChange={(event) => change(Number(event.currentTarget.value))}
    />
  );
}

/** On, off, or as above. */
function SwitchField({
  field,
  label,
  empty,
}: {
  field: Field<boolean | null | undefined>;
  label: string;
  empty: string;
}) {
  return (
    <NativeSelect
      label={label}
      name={field.name}
      value={field.value == null ? '' : String(field.value)}
      error={field.error}
      data={[
        { value: '', label: empty },
        { value: 'true', label: t.common.yes },
        { value: 'false', label: t.common.no },
      ]}
      onChange={({ currentTarget: { value } }) => field.onChange(value === '' ? null : value === 'true')}
    />
  );
}

type Body = Schemas['TenantPatch'];

/** The fields of a policy. A tenant has all of them, a domain and an account fewer: `form` is of the level's own body. */
export function PolicyFields({ form, level }: { form: Form<Body>; level: Level }) {
  const empty = above[level];
  return (
    <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="sm">
      <ViewField field={form.field('/policy/view') as Field<View>} empty={empty} />
      <ChoiceField
        field={form.field('/policy/dele')}
        label={words.dele}
        options={optionsOf(words.deles)}
        empty={empty}
      />
      <ExpireField field={form.field('/policy/expire_days') as Field<Expire>} empty={empty} />
      <ChoiceField
        field={form.field('/policy/over_quota')}
        label={words.overQuota}
        options={optionsOf(words.overQuotas)}
        empty={empty}
      />
      <SwitchField field={form.field('/policy/exclusive')} label={words.exclusive} empty={empty} />
      <NumberField field={form.field('/policy/login_delay_seconds')} label={words.loginDelay} />
      <ChoiceField
        field={form.field('/policy/utf8')}
        label={words.utf8}
        options={optionsOf(words.utf8s)}
        empty={empty}
      />
      <NumberField field={form.field('/policy/sessions/per_account')} label={words.perAccount} min={1} />
      {level !== 'account' && (
        <>
          <NumberField field={form.field('/policy/sessions/per_domain')} label={words.perDomain} min={1} />
          <SwitchField field={form.field('/policy/scram_passwords')} label={words.scram} empty={empty} />
          <SwitchField field={form.field('/policy/legacy_mechanisms')} label={words.legacy} empty={empty} />
        </>
      )}
      {level === 'tenant' && (
        <>
          <NumberField field={form.field('/policy/sessions/per_tenant')} label={words.perTenant} min={1} />
          <NumberField field={form.field('/policy/sessions/per_address')} label={words.perAddress} min={1} />
          <NumberField field={form.field('/policy/retention_days')} label={words.retention} min={1} max={365} />
          <NumberField field={form.field('/policy/kept_quota_percent')} label={words.kept} max={1000} />
          <NumberField field={form.field('/policy/audit_days')} label={words.audit} min={1} max={3650} />
        </>
      )}
    </SimpleGrid>
  );
}
