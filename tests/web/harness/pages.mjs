// Every page of the console, as its own table of routes has them, filled in from the seeded world.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const ROUTES = new URL('../../../web-admin/src/app/routes.ts', import.meta.url);

/** What the last part of a route stands for, by the route's first part. */
const THINGS = {
  tenants: 'slug',
  domains: 'name',
  accounts: 'address',
  aliases: 'alias',
  admins: 'admin',
  'api-keys': 'key',
  keys: 'key',
  webhooks: 'hook',
  jobs: 'job',
  audit: 'eventId',
};

/** Pages that need more than their path. */
const QUERIES = {
  '/audit/$id': ({ event }) => new URLSearchParams({ at: event.at, target: event.target }),
};
/** Pages whose path is one thing of several tabs. */
const TABS = {
  '/accounts/$address': ['summary', 'credentials', 'sessions', 'messages', 'activity', 'transcripts', 'settings'],
};

/** The address of a route's page. A part that nothing fills is a fault: a new page needs something to show. */
function filled(route, seeded) {
  const parts = route.split('/');
  return parts
    .map((part, at) => {
      if (!part.startsWith('$')) return part;
      const name = part.slice(1);
      const value = at === 2 ? seeded[THINGS[parts[1]]] : seeded[name];
      assert.ok(value, `${route}: nothing stands for ${part}`);
      return value;
    })
    .join('/');
}

/** The routes, each with an address. */
export function pagesOf(seeded) {
  const routes = [...readFileSync(ROUTES, 'utf8').matchAll(/\bpage\(\s*'([^']+)'/g)].map(([, route]) => route);
  assert.ok(routes.length > 0, 'no routes were found');
  return routes.flatMap((route) => {
    const address = filled(route, seeded);
    if (TABS[route]) return TABS[route].map((tab) => [`${route}-${tab}`, `${address}?tab=${tab}`]);
    return [[route, QUERIES[route] ? `${address}?${QUERIES[route](seeded)}` : address]];
  });
}
