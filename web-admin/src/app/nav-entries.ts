import type { Me } from '@/client/me';
import type { IconName } from '@/parts/Icon';
import { t } from '@/text';
import type { Permission } from './permission';

export interface NavEntry {
  to: string;
  label: string;
  icon: IconName;
  /** Shown to whoever may do this. */
  needs?: Permission;
  group?: keyof typeof t.shell.groups;
}

// In the order of the navigation. Each area adds its own line.
const entries: NavEntry[] = [
  { to: '/', label: t.shell.overview, icon: 'gauge', needs: 'usage:read' },
  { to: '/tenants', label: t.tenants.title, icon: 'building', needs: 'tenants:read', group: 'mail' },
  { to: '/domains', label: t.domains.title, icon: 'globe', needs: 'domains:read', group: 'mail' },
  { to: '/accounts', label: t.accounts.title, icon: 'mailbox', needs: 'accounts:read', group: 'mail' },
  { to: '/aliases', label: t.aliases.title, icon: 'fork', needs: 'aliases:read', group: 'mail' },
  { to: '/admins', label: t.admins.title, icon: 'shield', needs: 'admins:read', group: 'people' },
  { to: '/api-keys', label: t.keys.title, icon: 'key', needs: 'api-keys:read', group: 'people' },
  { to: '/oidc', label: t.admins.oidc.nav, icon: 'person', needs: 'admins:read', group: 'people' },
  { to: '/webhooks', label: t.webhooks.title, icon: 'hook', needs: 'webhooks:read', group: 'operation' },
  { to: '/jobs', label: t.jobs.title, icon: 'box', needs: 'jobs:read', group: 'operation' },
  { to: '/audit', label: t.audit.title, icon: 'scroll', needs: 'audit:read', group: 'operation' },
  { to: '/live-sessions', label: t.liveSessions.title, icon: 'pulse', needs: 'sessions:read', group: 'operation' },
];

export const navFor = (me: Me): NavEntry[] =>
  entries.filter(({ needs }) => needs === undefined || me.permissions.includes(needs));
