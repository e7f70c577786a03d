import { page } from './page';

// One line a page. What the navigation shows is in nav.ts.
export const pages = [
  page('/', () => import('@/areas/overview/Overview')),
  page('/live-sessions', () => import('@/areas/live-sessions/LiveSessions')),
  page('/profile', () => import('@/areas/profile/Profile')),
] as const;
