// node tests/web/screenshots.mjs FOLDER: pictures of every page, in both themes at three widths.
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { as, startBrowser } from './harness/browser.mjs';
import { pagesOf } from './harness/pages.mjs';
import { nameOf, seed } from './harness/seed.mjs';
import { startService } from './harness/service.mjs';

const SIZES = [
  [360, 780],
  [1280, 900],
  [2560, 1440],
];
const folder = resolve(process.argv[2] ?? 'screenshots');
const only = process.argv[3] && new RegExp(process.argv[3]);

const service = await startService();
const browser = await startBrowser();
try {
  mkdirSync(folder, { recursive: true });
  const seeded = await seed(service);
  const pages = pagesOf(seeded).filter(([route]) => !only || only.test(route));
  for (const theme of ['light', 'dark']) {
    for (const [width, height] of SIZES) {
      await as(browser, service, { theme, width, height }, async (person, page) => {
        const shoot = async (name) => {
          const file = `${name.replaceAll('$', '').replaceAll('/', '-').replace(/^-/, '') || 'overview'}.${theme}.${width}.png`;
          await page.screenshot({ path: join(folder, file), fullPage: true });
        };
        await page.goto('/sign-in');
        await person.settled();
        await shoot('sign-in');
        await person.signIn(nameOf('platform-admin'));
        for (const [route, address] of pages) {
          await person.goto(address);
          await shoot(route);
        }
      });
    }
  }
  await seeded.end();
  console.log(`${(pages.length + 1) * 2 * SIZES.length} pictures in ${folder}`);
} finally {
  await browser.close();
  await service.stop();
}
