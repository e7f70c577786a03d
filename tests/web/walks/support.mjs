// The support desk: mail that was deleted comes back, a session is undone, a session under way is ended.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { as, PASSWORD } from '../harness/browser.mjs';
import { Pop3 } from '../harness/pop3.mjs';
import { until } from '../harness/service.mjs';

const ADDRESS = 'sam@support.test';
const ACCOUNT = `/accounts/${ADDRESS}`;
const DESK = 'desk@support.test';

export default (world) => {
  /** A session that deletes these; how many are left is seen by the next one. */
  async function expunge(numbers) {
    const session = await Pop3.login(world.service.pop3, ADDRESS, PASSWORD);
    for (const number of numbers) await session.command(`DELE ${number}`);
    await session.quit();
  }

  async function held() {
    const session = await Pop3.login(world.service.pop3, ADDRESS, PASSWORD);
    const uidl = await session.linesOf('UIDL');
    await session.quit();
    return uidl.map((line) => line.split(' ')[1]);
  }

  test('support restores deleted mail and undoes a session', async () => {
    const { service, browser } = world;
    const post = (path, body, type) => service.api('POST', path, body, type);
    await post('/v1/tenants', { slug: 'support', name: 'Support' });
    await post('/v1/domains', { name: 'support.test', tenant: 'support' });
    await post('/v1/accounts', { address: ADDRESS, password: PASSWORD });
    await post('/v1/admins', { name: DESK, role: 'helpdesk', tenant: 'support', password: PASSWORD });
    for (const number of [1, 2, 3, 4]) {
      await post(`/v1${ACCOUNT}/messages`, `Subject: ${number}\r\n\r\nx\r\n`, 'message/rfc822');
    }
    const before = await held();
    await expunge([1]);
    await expunge([1, 2]);
    assert.equal((await held()).length, 1);

    await as(browser, service, {}, async (person, page) => {
      await person.signIn(DESK);
      // The first message, chosen from what was deleted.
      await person.goto(`${ACCOUNT}?tab=messages`);
      await page.getByRole('button', { name: `Restore ${before[0]}` }).click();
      const dialog = page.getByRole('dialog');
      // What it would do comes from the API's own trial.
      await dialog.getByText('message.restore').first().waitFor();
      assert.deepEqual(await person.axe(), []);
      await dialog.getByRole('button', { name: 'Restore', exact: true }).click();
      await dialog.waitFor({ state: 'detached' });
      assert.deepEqual(await held(), [before[0], before[3]]);
      // The others by their session.
      await person.goto(`${ACCOUNT}?tab=sessions`);
      await page.getByRole('button', { name: /^Undo the session/ }).first().click();
      await dialog.getByText('2 messages').first().waitFor();
      await dialog.getByRole('button', { name: 'Undo', exact: true }).click();
      await dialog.waitFor({ state: 'detached' });
      assert.deepEqual(await held(), before, 'in their old places, with their old unique-ids');
      // Several, chosen one by one.
      await expunge([1, 2, 4]);
      await person.goto(`${ACCOUNT}?tab=messages`);
      for (const id of [before[0], before[3]]) await page.getByRole('checkbox', { name: `Choose ${id}` }).check();
      await page.getByRole('button', { name: 'Restore 2 messages' }).click();
      await dialog.getByText('message.restore').first().waitFor();
      await dialog.getByRole('button', { name: 'Restore 2 messages' }).click();
      await dialog.waitFor({ state: 'detached' });
      await page.getByRole('checkbox', { name: `Choose ${before[0]}` }).waitFor({ state: 'detached' });
      assert.deepEqual(await held(), [before[0], before[2], before[3]]);
    });
  });

  test('a diagnosis shows what it was concluded from', async () => {
    const { service, browser } = world;
    await assert.rejects(Pop3.login(service.pop3, ADDRESS, 'not the password'));
    await until('the failure is known', async () => {
      const { findings } = await service.api('GET', `/v1${ACCOUNT}/diagnose`);
      return findings.some(({ evidence }) => evidence.attempts === 1);
    });
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(DESK);
      await person.goto(ACCOUNT);
      const finding = page.locator('[data-finding]').filter({ hasText: 'attempts' });
      await finding.locator('summary').click();
      await finding.getByText('attempts', { exact: true }).waitFor();
      assert.match(await finding.locator('dl').innerText(), /attempts\s+1\s/);
      assert.deepEqual(await person.axe(), []);
    });
  });

  test('support ends a session under way', async () => {
    const { service, browser } = world;
    const live = await Pop3.login(service.pop3, ADDRESS, PASSWORD);
    const sessions = async () => (await service.api('GET', `/v1${ACCOUNT}/live-sessions`)).items.length;
    await until('it shows', async () => (await sessions()) === 1);
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(DESK);
      await person.goto(`${ACCOUNT}?tab=sessions`);
      await page.getByRole('button', { name: /^End the session/ }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByText(/is cut off within seconds/).waitFor();
      await dialog.getByRole('button', { name: 'End', exact: true }).click();
      await page.getByText(/^The session ends within seconds/).waitFor();
    });
    await until('it is over', async () => (await sessions()) === 0);
    await assert.rejects(live.command('NOOP'));
  });
};
