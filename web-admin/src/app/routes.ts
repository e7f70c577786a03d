import { page } from './page';

// One line a page. What the navigation shows is in nav.ts.
export const pages = [
  page('/', () => import('@/areas/overview/Overview')),
  page('/profile', () => import('@/areas/profile/Profile')),
  page('/admins', () => import('@/areas/admins/Admins')),
  page('/admins/new', () => import('@/areas/admins/AdminNew')),
  page('/admins/$id', () => import('@/areas/admins/Admin')),
  page('/api-keys', () => import('@/areas/keys/Keys')),
  page('/api-keys/new', () => import('@/areas/keys/KeyNew')),
  page('/api-keys/$id', () => import('@/areas/keys/Key')),
  page('/oidc', () => import('@/areas/oidc/Issuer')),
  page('/webhooks', () => import('@/areas/webhooks/Webhooks')),
  page('/webhooks/new', () => import('@/areas/webhooks/WebhookNew')),
  page('/webhooks/$id', () => import('@/areas/webhooks/Webhook')),
  page('/webhooks/$id/deliveries/$delivery', () => import('@/areas/webhooks/Delivery')),
  page('/jobs', () => import('@/areas/jobs/Jobs')),
  page('/jobs/import', () => import('@/areas/jobs/ImportNew')),
  page('/jobs/migration', () => import('@/areas/jobs/MigrationNew')),
  page('/jobs/$id', () => import('@/areas/jobs/Job')),
  page('/audit', () => import('@/areas/audit/Audit')),
  page('/audit/$id', () => import('@/areas/audit/Entry')),
] as const;
