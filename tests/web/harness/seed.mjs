// A small world in which every page of the console has something to show.
import { PASSWORD } from './browser.mjs';
import { Pop3, Refused } from './pop3.mjs';
import { until } from './service.mjs';

export const ROLES = ['platform-admin', 'tenant-admin', 'domain-admin', 'helpdesk', 'auditor'];

/** What somebody of a role signs in with. */
export const nameOf = (role) => (role === 'platform-admin' ? 'operator@platform.test' : `${role}@acme.test`);

const message = (number) =>
  [
    'From: Shop <news@shop.test>',
    'To: alice@acme.test',
    `Subject: Order ${number} is on its way, and this subject is long enough to be cut`,
    `Message-ID: <${number}@shop.test>`,
    'Date: Tue, 24 Nov 2026 09:00:00 +0000',
    '',
    'It is on its way.',
    '',
  ].join('\r\n');

async function refusal(port, name, password) {
  try {
    await Pop3.login(port, name, password);
  } catch (error) {
    if (error instanceof Refused) return;
    throw error;
  }
}

/** Makes it, and answers what the addresses of pages name. */
export async function seed({ api, pop3 }) {
  const post = (path, body, type) => api('POST', path, body, type);
  await post('/v1/tenants', { slug: 'acme', name: 'Acme Corporation', quota: { octets: 5_000_000_000, accounts: 500 } });
  await post('/v1/tenants', { slug: 'globex', name: 'Globex' });
  await post('/v1/domains', { name: 'acme.test', tenant: 'acme' });
  await post('/v1/domains', { name: 'a-rather-long-name-of-a-domain.example.test', tenant: 'acme' });
  await post('/v1/domains', { name: 'globex.test', tenant: 'globex' });
  for (const local of ['alice', 'bob', 'carol', 'dave']) {
    await post('/v1/accounts', { address: `${local}@acme.test`, password: PASSWORD, quota: { octets: 1_000_000_000, messages: 100_000 } });
  }
  await post('/v1/accounts', { address: 'gus@globex.test', password: PASSWORD });
  await api('PATCH', '/v1/accounts/carol@acme.test', { status: 'suspended' });
  await post('/v1/aliases', { address: 'info@acme.test', targets: ['alice@acme.test', 'bob@acme.test'] });
  await post('/v1/accounts/alice@acme.test/app-passwords', { name: 'phone' });
  for (let number = 1; number <= 12; number += 1) {
    await post('/v1/accounts/alice@acme.test/messages', message(number), 'message/rfc822');
  }
  for (let number = 1; number <= 3; number += 1) {
    await post('/v1/accounts/dave@acme.test/messages', message(number), 'message/rfc822');
  }
  await api('PATCH', '/v1/accounts/dave@acme.test', { quota: { messages: 3 } });

  // Two sessions: one that fetched and expunged, one under way; and logins that were refused.
  const session = await Pop3.login(pop3, 'alice@acme.test', PASSWORD);
  await session.linesOf('RETR 1');
  await session.command('DELE 1');
  await session.command('DELE 2');
  await session.quit();
  await refusal(pop3, 'alice@acme.test', 'not the password');
  await refusal(pop3, 'carol@acme.test', PASSWORD);
  const live = await Pop3.login(pop3, 'alice@acme.test', PASSWORD);
  await live.linesOf('RETR 1');

  const admins = {};
  for (const role of ROLES) {
    const own = role === 'platform-admin' ? {} : { tenant: 'acme' };
    const domains = role === 'domain-admin' ? { domains: ['acme.test'] } : {};
    admins[role] = await post('/v1/admins', { name: nameOf(role), role, password: PASSWORD, ...own, ...domains });
  }
  const key = await post('/v1/api-keys', { name: 'Provisioning', tenant: 'acme', role: 'tenant-admin', scopes: ['accounts:read'] });
  const hook = await post('/v1/webhooks', { url: 'https://hooks.acme.test/restante', events: ['*'], tenant: 'acme', description: 'Ticket system' });
  const delivery = await post(`/v1/webhooks/${hook.id}/test`);
  for (const path of ['/v1/oidc', '/v1/tenants/acme/oidc']) {
    await api('PUT', path, { issuer: 'https://id.acme.test', client_id: 'restante', client_secret: 'not-a-secret' });
  }
  const lines = ['{"address":"erin@acme.test"}', '{"address":"erin@nowhere.test"}', '{"address":"frank@acme.test","quota":{"octets":-1}}', 'no JSON'];
  const job = await post('/v1/imports?tenant=acme', `${lines.join('\n')}\n`, 'application/x-ndjson');
  await until('the import is done', async () => (await api('GET', `/v1/imports/${job.id}`)).state === 'done');
  await until('the sums are there', async () => (await api('GET', '/v1/overview?tenant=acme')).fullest.length > 0);
  await until('the session shows', async () => (await api('GET', '/v1/live-sessions')).items.length > 0);
  const { items } = await api('GET', '/v1/accounts/alice@acme.test/messages');
  const [event] = (await api('GET', '/v1/audit-events?tenant=acme&action=account.create')).items;
  return {
    slug: 'acme',
    name: 'acme.test',
    address: 'alice@acme.test',
    alias: 'info@acme.test',
    admin: admins['tenant-admin'].id,
    key: key.id,
    hook: hook.id,
    delivery: delivery.id,
    job: job.id,
    message: items[0].unique_id,
    event,
    eventId: event.id,
    end: () => live.quit(),
  };
}
