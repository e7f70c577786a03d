// The walks through the web console: one service, one browser, everybody with a context of their own.
import { after, before } from 'node:test';
import { startBrowser } from './harness/browser.mjs';
import { startService } from './harness/service.mjs';

/** What the walks work with. */
export const world = {};

before(async () => {
  world.service = await startService();
  world.browser = await startBrowser();
});

after(async () => {
  await world.browser?.close();
  // A session that is left open would hold the end of the service up.
  await world.seeded?.end();
  await world.service?.stop();
});

const walks = process.env.WALKS?.split(',') ?? ['sign-in', 'mail', 'support', 'operation', 'roles', 'lists', 'pages'];
for (const walk of walks) (await import(`./walks/${walk}.mjs`)).default(world);
