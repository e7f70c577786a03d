// Each role sees what it may, and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { as } from '../harness/browser.mjs';
import { nameOf, seed } from '../harness/seed.mjs';

const MAIL = ['/', '/tenants', '/domains', '/accounts', '/aliases', '/live-sessions'];
const ALL = [...MAIL, '/admins', '/api-keys', '/oidc', '/webhooks', '/jobs', '/audit'];

/** What the navigation leads to, and lists on which the role makes something new. */
const ROLES = {
  'platform-admin': { sees: ALL, makes: ['/tenants', '/domains', '/accounts', '/aliases', '/admins', '/api-keys', '/webhooks'] },
  'tenant-admin': { sees: ALL, makes: ['/domains', '/accounts', '/aliases', '/admins', '/api-keys', '/webhooks'] },
  'domain-admin': { sees: MAIL, makes: ['/accounts', '/aliases'] },
  helpdesk: { sees: MAIL, makes: [] },
  auditor: { sees: ALL, makes: [] },
};
const OTHERS = /globex/;

export default (world) => {
  for (const [role, { sees, makes }] of Object.entries(ROLES)) {
    test(`${role} sees only what it may`, async () => {
      const { service, browser } = world;
      world.seeded ??= await seed(service);
      await as(browser, service, {}, async (person, page) => {
        await person.signIn(nameOf(role));
        const links = page.getByRole('navigation', { name: 'Main' }).getByRole('link');
        const shown = await links.evaluateAll((all) => all.map((link) => new URL(link.href).pathname));
        assert.deepEqual(shown.sort(), [...sees].sort());

        for (const path of sees) {
          // The first page is where a sign-in leads.
          if (path !== '/') await person.follow(links.and(page.locator(`[href="${path}"]`)));
          assert.equal(new URL(page.url()).pathname, path);
          const made = await page.getByRole('main').getByText(/^New /).count();
          assert.equal(made > 0, makes.includes(path), `${path}: something new`);
          const text = await page.getByRole('main').innerText();
          if (role !== 'platform-admin') assert.ok(!OTHERS.test(text), `${path} shows what is another tenant's`);
          assert.ok(!/does not allow this/.test(text), `${path}: ${text}`);
        }

        // By its address, what the role may not see is refused; what is another tenant's is not there.
        for (const path of ALL.filter((one) => !sees.includes(one))) {
          person.expects(/\/v1\//, 403);
          await person.goto(path);
          assert.match(await page.locator('body').innerText(), /does not allow|no such page/i, path);
        }
        if (role === 'platform-admin') return;
        person.expects(/globex/, 404);
        for (const path of ['/accounts/gus@globex.test', '/domains/globex.test', '/tenants/globex']) {
          await person.goto(path);
          const text = await page.getByRole('main').innerText();
          assert.match(text, /Not found|no such|not exist/i, `${path}: ${text}`);
        }
      });
    });
  }
};
