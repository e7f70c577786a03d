import { beforeEach, expect, test, vi } from 'vitest';

type Session = typeof import('./session');

const token = (subject: string, number: number) =>
  `x.${btoa(JSON.stringify({ sub: subject, number })).replaceAll('=', '')}.x`;

const json = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });
const problem = (status: number, code: string) => json(status, { type: `/problems/${code}`, status, title: code });

/** A service that knows one token at a time; `alive`: whether the cookie's sign-in is in force. */
class Service {
  alive = true;
  number = 0;
  refreshes = 0;
  seen: string[] = [];
  current = '';

  issue(subject = 'adm_1') {
    this.number += 1;
    this.current = token(subject, this.number);
    return json(200, { access_token: this.current, expires_in: 300, token_type: 'Bearer' });
  }

  fetch = async (input: Request | string, init?: RequestInit): Promise<Response> => {
    const request = input instanceof Request ? input : new Request(new URL(input, 'http://console.test'), init);
    const { pathname } = new URL(request.url);
    if (pathname === '/v1/sign-in/refresh') {
      this.refreshes += 1;
      await new Promise((resolve) => setTimeout(resolve, 1));
      return this.alive ? this.issue() : problem(401, 'sign-in-refused');
    }
    if (pathname === '/v1/sign-in') {
      this.alive = true;
      return this.issue();
    }
    const authorization = request.headers.get('Authorization');
    this.seen.push(`${request.method} ${pathname} ${await request.text()}`);
    return authorization === `Bearer ${this.current}` ? json(200, {}) : problem(401, 'unauthorized');
  };
}

let service: Service;
let module: Session;

beforeEach(async () => {
  service = new Service();
  vi.stubGlobal('fetch', service.fetch);
  // The pages of the tests before would hear of a sign-in and renew as well.
  vi.stubGlobal('BroadcastChannel', undefined);
  localStorage.clear();
  vi.resetModules();
  module = await import('./session');
});

const get = () => module.authorizedFetch(new Request('http://console.test/v1/me'));

test('a first visit asks nothing that must fail', async () => {
  await module.start();
  expect(module.session.state()).toBe('out');
  expect(service.refreshes).toBe(0);
});

test('requests at once renew once', async () => {
  await module.signIn({ name: 'a', password: 'b' });
  service.current = 'replaced';
  const answers = await Promise.all([get(), get(), get()]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(service.refreshes).toBe(1);
});

test('a change whose sign-in has ended is sent after the next one, with its body', async () => {
  await module.signIn({ name: 'a', password: 'b' });
  service.alive = false;
  service.current = 'ended';
  const request = new Request('http://console.test/v1/tenants', { method: 'POST', body: '{"slug":"acme"}' });
  const sent = module.authorizedFetch(request);
  await vi.waitFor(() => expect(module.session.state()).toBe('expired'));
  await module.signIn({ name: 'a', password: 'b' });
  expect((await sent).status).toBe(200);
  expect(service.seen.at(-1)).toBe('POST /v1/tenants {"slug":"acme"}');
});

test('what waits for a sign-in fails when the person leaves', async () => {
  await module.signIn({ name: 'a', password: 'b' });
  service.alive = false;
  service.current = 'ended';
  const sent = get();
  await vi.waitFor(() => expect(module.session.state()).toBe('expired'));
  await module.signOut();
  await expect(sent).rejects.toThrow('signed out');
  expect(module.session.state()).toBe('out');
});

test('a wrong password of one’s own is no end of the sign-in', async () => {
  await module.signIn({ name: 'a', password: 'b' });
  vi.stubGlobal('fetch', async () => problem(401, 'sign-in-refused'));
  expect((await get()).status).toBe(401);
  expect(module.session.state()).toBe('in');
});
