// Chromium, and the people at it. Whatever their pages complain about is a fault, unless the walk said that it is to come.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// What the console's own lock file pins.
const require = createRequire(new URL('../../../web-admin/package.json', import.meta.url));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const PASSWORD = 'a long enough password';
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const PATIENCE = 10_000;

export const startBrowser = () => chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });

/** Somebody at a browser of their own. */
export class Person {
  static async open(browser, service, { theme = 'light', width = 1280, height = 900 } = {}) {
    const person = new Person();
    person.context = await browser.newContext({
      baseURL: service.origin,
      colorScheme: theme,
      viewport: { width, height },
      reducedMotion: 'reduce',
      locale: 'en-GB',
      timezoneId: 'UTC',
    });
    person.faults = [];
    person.expected = [];
    await person.context.addInitScript(() =>
      document.addEventListener('securitypolicyviolation', (event) =>
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
      ),
    );
    person.page = await person.context.newPage();
    person.page.setDefaultTimeout(PATIENCE);
    person.page.on('pageerror', (error) => person.faults.push(`thrown: ${error.stack ?? error}`));
    person.page.on('console', (message) => person.hear(message));
    person.page.on('response', (answer) => person.see(answer));
    return person;
  }

  hear(message) {
    if (!['error', 'warning'].includes(message.type())) return;
    const text = message.text();
    const failed = /^Failed to load resource: .* status of (\d+)/.exec(text);
    const url = message.location().url;
    const isExpected = failed && this.expected.some(([path, status]) => path.test(url) && status === Number(failed[1]));
    if (!isExpected) this.faults.push(`${message.type()}: ${text} (${url})`);
  }

  see(answer) {
    if (answer.status() >= 500) this.faults.push(`${answer.status()} ${answer.url()}`);
  }

  /** Answers of this status at this path are no fault. */
  expects(path, status) {
    this.expected.push([path, status]);
  }

  async signIn(name, code) {
    const { page } = this;
    await page.goto('/sign-in');
    await page.locator('input[name=name]').fill(name);
    await page.locator('input[name=password]').fill(PASSWORD);
    if (code) await page.locator('input[name=code]').fill(code);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.locator('#content h1').waitFor();
    await this.settled();
  }

  /** Follows a link to another page: the address changes first, then the new page's heading takes the focus. */
  async follow(link) {
    await link.click();
    await this.page.locator('h1:focus').waitFor();
    await this.settled();
  }

  async goto(path) {
    await this.page.goto(path);
    await this.settled();
  }

  /** The page has its heading and waits for nothing. */
  async settled() {
    await this.page.locator('h1').first().waitFor();
    await this.page.waitForFunction(() => !document.querySelector('.mantine-Loader-root, .mantine-Skeleton-root, [aria-busy=true]'));
  }

  /** What axe finds. */
  async axe() {
    await this.page.evaluate(AXE);
    const found = await this.page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    return found.violations.map(
      (one) => `${one.id}: ${one.help}\n${one.nodes.map((node) => `    ${node.html}\n    ${node.failureSummary}`).join('\n')}`,
    );
  }

  async close() {
    await this.context.close();
    assert.deepEqual(this.faults, [], 'what the pages complained about');
  }
}

/** Walks as somebody, to the end or to the first fault. */
export async function as(browser, service, options, walk) {
  const person = await Person.open(browser, service, options);
  try {
    await walk(person, person.page);
  } catch (failed) {
    const at = person.page.url();
    const text = await person.page.locator('body').innerText().catch(() => '');
    await person.context.close();
    console.log(`# a walk failed at ${at}\n${person.faults.join('\n')}\n${text.slice(0, 3000)}`);
    throw failed;
  }
  await person.close();
}
