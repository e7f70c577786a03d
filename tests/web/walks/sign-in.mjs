// The first administrator signs in, sets one-time codes up, and signs in with one; and what all of that weighs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { as, PASSWORD } from '../harness/browser.mjs';
import { nextCode, code } from '../harness/totp.mjs';

const NAME = 'first@platform.test';
const MOST = 250_000;

export default (world) => {
  test('the first administrator signs in and sets one-time codes up', async () => {
    const { service, browser } = world;
    await service.api('POST', '/v1/admins', { name: NAME, role: 'platform-admin', password: PASSWORD });
    let secret;
    await as(browser, service, {}, async (person, page) => {
      await page.goto('/');
      await page.waitForURL(/\/sign-in/);
      // A wrong password is told beside the form, which keeps the name.
      person.expects(/\/v1\/sign-in$/, 401);
      await page.locator('input[name=name]').fill(NAME);
      await page.locator('input[name=password]').fill('not the password');
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
      await page.getByText('The name, the password or the code is wrong').waitFor();
      assert.equal(await page.locator('input[name=name]').inputValue(), NAME);
      await person.signIn(NAME);

      await person.goto('/profile');
      await page.getByRole('button', { name: 'Set up one-time codes' }).click();
      await page.getByLabel('Your password, to begin').fill(PASSWORD);
      await page.getByRole('button', { name: 'Show the secret' }).click();
      await page.getByRole('img', { name: 'QR code with the secret of your one-time codes' }).waitFor();
      secret = await page.locator('code').filter({ hasText: /^[A-Z2-7 ]{32,}$/ }).first().innerText();
      await page.getByLabel('The code that it shows now').fill(code(secret));
      await page.getByRole('button', { name: 'Switch on' }).click();
      const codes = await page.locator('[data-secret]').innerText();
      assert.equal(codes.trim().split('\n').length, 10);
      await page.getByRole('dialog').getByRole('button').last().click();
      await page.getByText('On: your password needs a code at each sign-in.').waitFor();

      // The cookie carries the sign-in over a reload; nothing a script can read does.
      await page.reload();
      await person.settled();
      assert.equal(new URL(page.url()).pathname, '/profile');
      const kept = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]));
      assert.ok(!/rsf-|eyJ/.test(kept), kept);
    });
    await as(browser, service, {}, async (person, page) => {
      person.expects(/\/v1\/sign-in$/, 401);
      await page.goto('/sign-in');
      await page.locator('input[name=name]').fill(NAME);
      await page.locator('input[name=password]').fill(PASSWORD);
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
      await page.getByText('The name, the password or the code is wrong').waitFor();
      await person.signIn(NAME, nextCode(secret));
    });
  });

  test('a sign-in that ends elsewhere is taken up again without losing the page', async () => {
    const { service, browser } = world;
    const name = 'second@platform.test';
    await service.api('POST', '/v1/admins', { name, role: 'platform-admin', password: PASSWORD });
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(name);
      await person.goto('/profile');
      await page.getByLabel('New password').fill('what was typed');
      const { items } = await service.api('GET', '/v1/sessions');
      for (const one of items.filter((item) => item.name === name)) await service.api('DELETE', `/v1/sessions/${one.id}`);
      person.expects(/\/v1\//, 401);
      await page.getByLabel('Present password').fill(PASSWORD);
      await page.getByRole('button', { name: 'Set the password' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByText('Your sign-in has ended').waitFor();
      await dialog.locator('input[name=password]').fill(PASSWORD);
      await dialog.getByRole('button', { name: 'Sign in', exact: true }).click();
      await page.getByText('The password is set.').first().waitFor();
    });
  });

  test('the start page weighs little', async () => {
    const { service, browser } = world;
    const name = 'third@platform.test';
    await service.api('POST', '/v1/admins', { name, role: 'platform-admin', password: PASSWORD });
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(name);
      const session = await person.context.newCDPSession(page);
      await session.send('Network.enable');
      await session.send('Network.setCacheDisabled', { cacheDisabled: true });
      const urls = new Map();
      const loaded = new Map();
      session.on('Network.responseReceived', ({ requestId, response }) => urls.set(requestId, new URL(response.url).pathname));
      session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => loaded.set(urls.get(requestId), encodedDataLength));
      await person.goto('/');
      await page.waitForLoadState('networkidle');
      const octets = [...loaded.values()].reduce((all, one) => all + one, 0);
      const heaviest = [...loaded].sort(([, one], [, other]) => other - one).slice(0, 12);
      console.log(`# the start page: ${octets} octets; ${heaviest.map(([path, of]) => `${path} ${of}`).join(', ')}`);
      assert.ok(octets > 50_000 && octets < MOST, `${octets} octets`);
    });
  });
};
