// Lists: every order that the API has is a click away, is the order shown, and stands in an address that can be shared.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { as } from '../harness/browser.mjs';
import { nameOf, seed } from '../harness/seed.mjs';

const DOCUMENT = JSON.parse(readFileSync(new URL('../../../web-admin/openapi.json', import.meta.url), 'utf8'));
/** Where the console shows a list that it has under another name. */
const PAGES = { '/v1/imports': '/jobs', '/v1/audit-events': '/audit' };
/** By a figure that no row has: for those who ask the API for the largest accounts. */
const UNSEEN = ['octets'];

/** The lists that have orders, by the page that shows them. */
function orders() {
  const found = {};
  for (const [path, { get }] of Object.entries(DOCUMENT.paths)) {
    const sort = get?.parameters?.find(({ name }) => name === 'sort');
    if (!sort) continue;
    const words = sort.schema.enum.filter((word) => typeof word === 'string' && !word.startsWith('-'));
    found[PAGES[path] ?? path.replace('/v1', '')] = words.filter((word) => !UNSEEN.includes(word));
  }
  return found;
}

export default (world) => {
  test('every list sorts by each order of the API, both ways, and its address tells of it', async () => {
    const { service, browser } = world;
    world.seeded ??= await seed(service);
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(nameOf('platform-admin'));
      const rows = () => page.locator('[data-row]').evaluateAll((all) => all.map((row) => row.dataset.row));
      for (const [route, words] of Object.entries(orders())) {
        await person.goto(route);
        const heads = page.locator('th[aria-sort] button');
        assert.equal(await heads.count(), words.length, `${route}: ${words}`);
        const seen = [];
        for (let at = 0; at < words.length; at += 1) {
          const head = page.locator('th[aria-sort]').nth(at);
          for (const way of ['ascending', 'descending']) {
            await head.getByRole('button').click();
            await page.locator(`th[aria-sort=${way}]`).waitFor();
            await person.settled();
            assert.equal(await head.getAttribute('aria-sort'), way, route);
            const word = new URL(page.url()).searchParams.get('sort');
            seen.push(word);
            const now = await rows();
            // The same address shows somebody else the same.
            await person.goto(page.url());
            assert.deepEqual(await rows(), now, `${route} by ${word}`);
          }
        }
        assert.deepEqual(seen.sort(), words.flatMap((word) => [word, `-${word}`]).sort(), route);
      }
      await person.goto('/accounts?sort=address');
      const first = await rows();
      await person.goto('/accounts?sort=-address');
      assert.deepEqual((await rows()).reverse(), first);
      assert.ok(first.length > 1 && first.every((one, at) => at === 0 || first[at - 1] < one), `${first}`);
    });
  });
};
