// What the operator does: an import with lines that are refused, and what is seen of the service meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { as, PASSWORD } from '../harness/browser.mjs';
import { Pop3 } from '../harness/pop3.mjs';
import { until } from '../harness/service.mjs';

const OPERATOR = 'import@platform.test';
const LINES = [
  '{"address":"one@bulk.test","password":"a long enough password"}',
  '{"address":"two@elsewhere.test"}',
  '{"address":"three@bulk.test","quota":{"octets":-1}}',
  'this is no JSON',
  '{"address":"five@bulk.test"}',
];

export default (world) => {
  test('an import says which lines it refused, and why', async () => {
    const { service, browser } = world;
    const post = (path, body) => service.api('POST', path, body);
    await post('/v1/admins', { name: OPERATOR, role: 'platform-admin', password: PASSWORD });
    await post('/v1/tenants', { slug: 'bulk', name: 'Bulk' });
    await post('/v1/domains', { name: 'bulk.test', tenant: 'bulk' });
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(OPERATOR);
      await person.goto('/jobs/import');
      await page.getByRole('radio', { name: 'Pasted here' }).check();
      await page.getByLabel('Lines').fill(`${LINES.join('\n')}\n`);
      await page.getByLabel('Tenant').fill('bulk');
      // A trial first: nothing is made.
      await page.getByRole('button', { name: 'Try it first' }).click();
      await page.getByRole('heading', { name: 'The trial' }).waitFor();
      await until('the trial is over', async () => (await service.api('GET', '/v1/imports')).items[0].state === 'done');
      assert.equal((await service.api('GET', '/v1/accounts?tenant=bulk')).items.length, 0);
      await page.getByRole('button', { name: 'Import', exact: true }).click();
      await page.waitForURL(/\/jobs\/job_/);
      await person.settled();
      await page.getByText('done', { exact: true }).first().waitFor();
      // The figures and the lines come without a reload.
      const refused = page.getByRole('table', { name: 'Refused lines' });
      for (const line of ['2', '3', '4']) await refused.getByText(line, { exact: true }).first().waitFor();
      assert.deepEqual(await person.axe(), []);
      assert.equal(await page.getByRole('progressbar').first().getAttribute('aria-valuenow'), '100');
    });
    const session = await Pop3.login(service.pop3, 'one@bulk.test', PASSWORD);
    await session.quit();
    const made = (await service.api('GET', '/v1/accounts?tenant=bulk')).items.map(({ address }) => address);
    assert.deepEqual(made.sort(), ['five@bulk.test', 'one@bulk.test']);
  });

  test('the overview is live', async () => {
    const { service, browser } = world;
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(OPERATOR);
      await person.goto('/?tenant=bulk');
      for (const part of ['Database', 'Store', 'Frontends', 'Workers', 'Queues']) {
        await page.getByRole('main').getByText(part, { exact: true }).first().waitFor();
      }
      await page.getByText('Copies of messages: delivered below', { exact: false }).first().waitFor({ state: 'attached' });
      await service.api('POST', '/v1/accounts/one@bulk.test/messages', 'Subject: x\r\n\r\nx\r\n', 'message/rfc822');
      const told = async () => (await service.api('GET', '/v1/overview?tenant=bulk')).messages;
      await until('it is summed', async () => (await told()) === 1);
      // It comes to the page without a reload: the delivery, in the bar's description and in its table.
      await page.getByText(/delivered.*The most: 1,/i).first().waitFor({ state: 'attached', timeout: 40_000 });
    });
  });
};
