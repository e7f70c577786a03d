import type { Schemas } from '@/client/api';
import { t } from '@/text';

export type Role = Schemas['RoleWord'];

const platform: readonly Role[] = ['platform-admin', 'helpdesk', 'auditor'];
const inTenant: readonly Role[] = ['tenant-admin', 'domain-admin', 'helpdesk', 'auditor'];

/** The roles that there are in a tenant, or on the platform. */
export const rolesOf = (tenant: boolean) =>
  (tenant ? inTenant : platform).map((value) => ({ value, label: t.shell.roles[value] }));
