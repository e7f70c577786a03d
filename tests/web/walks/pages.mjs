// Every page, in both themes: axe finds nothing, and no page complains.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { as } from '../harness/browser.mjs';
import { pagesOf } from '../harness/pages.mjs';
import { nameOf, seed } from '../harness/seed.mjs';

/** The last one is what the next page is shown at. */
const WIDTHS = [360, 2560, 1280];

/** What axe finds in the theme that is set and in the other one. */
async function inBothThemes(person, page) {
  const found = [];
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme });
    await page.waitForFunction((is) => document.documentElement.dataset.mantineColorScheme === is, theme);
    found.push(...(await person.axe()).map((fault) => `${theme}: ${fault}`));
  }
  return found;
}

export default (world) => {
  test('axe finds nothing on any page in either theme, and none is wider than its window', async () => {
    const { service, browser } = world;
    world.seeded ??= await seed(service);
    const found = [];
    await as(browser, service, {}, async (person, page) => {
      const look = async (route) => {
        found.push(...(await inBothThemes(person, page)).map((fault) => `${route} ${fault}`));
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          // The layout takes a moment to follow.
          const fits = () => document.documentElement.scrollWidth <= document.documentElement.clientWidth;
          const wide = await page.waitForFunction(fits, undefined, { timeout: 2000 }).then(() => false, () => true);
          if (wide) found.push(`${route} is wider than a window of ${width}`);
        }
      };
      await page.goto('/sign-in');
      await person.settled();
      await look('/sign-in');
      await person.signIn(nameOf('platform-admin'));
      for (const [route, address] of [...pagesOf(world.seeded), ['none', '/there-is-no-such-page']]) {
        await person.goto(address);
        await look(route);
      }
    });
    assert.deepEqual(found, [], found.join('\n\n'));
  });

  test('everything is reached by the keyboard, and search finds pages from anywhere', async () => {
    const { service, browser } = world;
    await as(browser, service, {}, async (person, page) => {
      await person.signIn(nameOf('platform-admin'));
      await page.keyboard.press('Control+K');
      const dialog = page.getByRole('dialog');
      await dialog.waitFor();
      assert.deepEqual(await person.axe(), []);
      await page.keyboard.type('alice@');
      await dialog.getByText('alice@acme.test').first().waitFor();
      await page.keyboard.press('Enter');
      await page.waitForURL((url) => decodeURIComponent(url.pathname) === '/accounts/alice@acme.test');
      await person.settled();
      // The first stop of the keyboard skips to the content.
      await page.reload();
      await person.settled();
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('href')), '#content');
    });
  });
};
