import { page } from './page';

// One line a page. What the navigation shows is in nav.ts.
export const pages = [
  page('/', () => import('@/areas/overview/Overview')),
  page('/live-sessions', () => import('@/areas/live-sessions/LiveSessions')),
  page('/profile', () => import('@/areas/profile/Profile')),
  page('/tenants', () => import('@/areas/tenants/Tenants')),
  page('/tenants/$slug', () => import('@/areas/tenants/Tenant')),
  page('/domains', () => import('@/areas/domains/Domains')),
  page('/domains/$name', () => import('@/areas/domains/Domain')),
  page('/accounts', () => import('@/areas/accounts/Accounts')),
  page('/accounts/$address', () => import('@/areas/accounts/Account')),
  page('/aliases', () => import('@/areas/aliases/Aliases')),
  page('/aliases/$address', () => import('@/areas/aliases/Alias')),
] as const;
