// A tenant from nothing to an account that fetches its mail over POP3 with the app password just shown; its quota; its suspension; and
// what the audit log says of all that.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { as, PASSWORD } from '../harness/browser.mjs';
import { Pop3, Refused } from '../harness/pop3.mjs';
import { until } from '../harness/service.mjs';

const OPERATOR = 'mail@platform.test';
const ADDRESS = 'zoe@zenith.test';
const ACCOUNT = `/accounts/${ADDRESS}`;

/** Opens the form behind a button, fills its fields by their labels, and sends it. */
async function make(person, button, fields) {
  const { page } = person;
  await page.getByRole('button', { name: button }).click();
  const dialog = page.getByRole('dialog');
  for (const [label, value] of Object.entries(fields)) await dialog.getByLabel(new RegExp(`^${label}`)).first().fill(value);
  assert.deepEqual(await person.axe(), [], button);
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
}

async function isRefused(attempt) {
  try {
    await attempt();
    return false;
  } catch (error) {
    if (error instanceof Refused) return true;
    throw error;
  }
}

export default (world) => {
  let secret;

  test('a tenant from nothing to mail that is fetched', async () => {
    const { service, browser } = world;
    await service.api('POST', '/v1/admins', { name: OPERATOR, role: 'platform-admin', password: PASSWORD });
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(OPERATOR);
      await person.goto('/tenants');
      // What the API refuses is said at its field, and what was typed stays.
      person.expects(/\/v1\/tenants/, 422);
      await make(person, 'New tenant', { 'Short name': 'Not a slug!', Name: 'Zenith' });
      const dialog = page.getByRole('dialog');
      await dialog.locator('[aria-invalid=true]').first().waitFor();
      assert.equal(await dialog.getByLabel('Short name').inputValue(), 'Not a slug!');
      assert.deepEqual(await person.axe(), []);
      await dialog.getByLabel('Short name').fill('zenith');
      await dialog.getByRole('button', { name: 'Create', exact: true }).click();
      // That it has no issuer is answered so.
      person.expects(/\/oidc$/, 404);
      await page.waitForURL(/\/tenants\/zenith/);
      await person.settled();

      await person.goto('/domains');
      await make(person, 'New domain', { Name: 'zenith.test', Tenant: 'zenith' });
      await page.waitForURL(/\/domains\/zenith\.test/);
      await person.settled();
      await page.getByText('proved', { exact: true }).first().waitFor();

      await person.goto('/accounts');
      await make(person, 'New account', { Address: ADDRESS });
      await page.waitForURL((url) => decodeURIComponent(url.pathname) === ACCOUNT);
      await person.settled();

      await person.goto(`${ACCOUNT}?tab=credentials`);
      await make(person, 'New app password', { Device: 'phone' });
      const shown = page.locator('[data-secret]');
      secret = (await shown.innerText()).trim();
      assert.match(secret, /^rst-/);
      // How to set a client up stands beside it.
      await page.getByRole('dialog').getByText(ADDRESS).first().waitFor();
      assert.deepEqual(await person.axe(), []);
      await page.getByRole('button', { name: 'I have kept it' }).click();
      await shown.waitFor({ state: 'detached' });
      assert.ok(!(await page.content()).includes(secret), 'it is shown once');

      await deliver(person);
    });
    const session = await Pop3.login(service.pop3, ADDRESS, secret);
    const text = (await session.linesOf('RETR 1')).join('\n');
    assert.match(text, /^Subject: Test message$/m);
    assert.equal(await session.count(), 1);
    await session.quit();
  });

  test('a quota is changed, and holds', async () => {
    const { service, browser } = world;
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(OPERATOR);
      await person.goto(`${ACCOUNT}?tab=settings`);
      await page.getByRole('spinbutton', { name: 'Messages' }).fill('1');
      await page.getByRole('button', { name: 'Save' }).first().click();
      await until('it is saved', async () => (await service.api('GET', `/v1${ACCOUNT}`)).quota.messages === 1);
      person.expects(/\/messages/, 409);
      await deliver(person, /[Oo]ver quota|full/);
    });
  });

  test('a suspended account is refused at once, and its session ends', async () => {
    const { service, browser } = world;
    const live = await Pop3.login(service.pop3, ADDRESS, secret);
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(OPERATOR);
      await person.goto(`${ACCOUNT}?tab=settings`);
      await page.getByRole('button', { name: 'Suspend', exact: true }).click();
      const dialog = page.getByRole('dialog');
      const suspend = dialog.getByRole('button', { name: 'Suspend', exact: true });
      // What it would do is shown, and the name has to be typed back.
      await dialog.getByText('This is what will happen').waitFor();
      assert.ok(await suspend.isDisabled());
      assert.deepEqual(await person.axe(), []);
      await dialog.getByLabel(`Type ${ADDRESS} to confirm`).fill(ADDRESS);
      await suspend.click();
      await dialog.waitFor({ state: 'detached' });
      assert.ok(await isRefused(() => Pop3.login(service.pop3, ADDRESS, secret)), 'at once');
      await person.settled();
      await page.getByText('suspended', { exact: true }).first().waitFor();
    });
    await until('the session has ended', async () => {
      try {
        await live.command('NOOP');
        return false;
      } catch {
        return true;
      }
    });
  });

  test('the audit log has all of that', async () => {
    const { service, browser } = world;
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(OPERATOR);
      await person.goto('/audit?tenant=zenith');
      await page.getByRole('main').getByRole('table').first().waitFor();
      const text = await page.getByRole('main').innerText();
      for (const action of ['tenant.create', 'domain.create', 'account.create', 'app-password.create', 'account.change']) {
        assert.ok(text.includes(action), `${action} in\n${text}`);
      }
      assert.ok(/\badmin:\d+/.test(text), text);
    });
  });

  /** A test message, by the account's own page. */
  async function deliver(person, refused) {
    const { page } = person;
    await person.goto(`${ACCOUNT}?tab=messages`);
    await page.getByRole('button', { name: 'Deliver a test message' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Subject').fill('Test message');
    assert.deepEqual(await person.axe(), []);
    await dialog.getByRole('button', { name: 'Deliver', exact: true }).click();
    if (refused) await dialog.getByText(refused).first().waitFor();
    else await page.getByText(/^Delivered, with the unique id/).waitFor();
  }
};
