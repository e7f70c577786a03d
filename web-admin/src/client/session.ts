import { problemOf } from './problem';
import type { components } from './schema';

type Tokens = components['schemas']['Tokens'];
type SignInNew = components['schemas']['SignInNew'];

/** `starting`: not known yet; `expired`: a page is open whose sign-in has ended, and waits for the next one. */
export type SessionState = 'starting' | 'out' | 'in' | 'expired';

interface Held {
  token: string;
  /** When it is renewed, by `performance.now()`: a little before it would be refused. */
  renewAt: number;
}

// The access token lives here and nowhere else. The refresh token is a cookie that no script can read.
let held: Held | null = null;
let subject: string | null = null;
let state: SessionState = 'starting';
const watchers = new Set<() => void>();
const renewedWatchers = new Set<() => void>();
let waiting: { resolve: () => void; reject: (reason: unknown) => void }[] = [];
let renewing: Promise<boolean> | null = null;

const LOCK = 'restante.refresh';
// Only says that a renewal is worth trying, so that a first visit makes no request that must fail.
const MARK = 'restante.signed-in';
const others = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('restante.session');

export const session = {
  state: () => state,
  watch(watcher: () => void) {
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  },
  /** Called after each renewal that the API asked for: what the caller may do can have changed. */
  onRenewed(watcher: () => void) {
    renewedWatchers.add(watcher);
    return () => renewedWatchers.delete(watcher);
  },
};

function become(next: SessionState) {
  if (state === next) return;
  state = next;
  for (const watcher of watchers) watcher();
}

function mark(signedIn: boolean) {
  try {
    if (signedIn) localStorage.setItem(MARK, '1');
    else localStorage.removeItem(MARK);
  } catch {
    // Without storage each reload asks for the password again.
  }
}

function marked(): boolean {
  try {
    return localStorage.getItem(MARK) !== null;
  } catch {
    return false;
  }
}

export function subjectOf(token: string): string | null {
  try {
    const part = token.split('.')[1] ?? '';
    const claims: unknown = JSON.parse(atob(part.replaceAll('-', '+').replaceAll('_', '/')));
    return typeof claims === 'object' && claims !== null && 'sub' in claims ? String(claims.sub) : null;
  } catch {
    return null;
  }
}

function take(tokens: Tokens) {
  const who = subjectOf(tokens.access_token);
  if (subject !== null && who !== subject) {
    // Somebody else has signed in, in another tab: nothing that this page shows is theirs.
    location.assign('/');
    return;
  }
  subject = who;
  held = { token: tokens.access_token, renewAt: performance.now() + Math.max(5, tokens.expires_in - 30) * 1000 };
  mark(true);
  become('in');
  const waited = waiting;
  waiting = [];
  for (const { resolve } of waited) resolve();
}

async function ask(path: string, body: unknown, token?: string): Promise<Response> {
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  return fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function locked<T>(work: () => Promise<T>): Promise<T> {
  // Each renewal spends the cookie's token and sets the next one; two at once would look like a theft. Locks exist only
  // where the page came over TLS or from this machine.
  return navigator.locks ? navigator.locks.request(LOCK, work) : work();
}

/** Renews the access token. False: the sign-in has ended. Fails when the service cannot be reached. */
export function renew(): Promise<boolean> {
  renewing ??= locked(async () => {
    const answer = await ask('/v1/sign-in/refresh', { keep: 'cookie' });
    if (answer.ok) {
      take((await answer.json()) as Tokens);
      return true;
    }
    const problem = await problemOf(answer);
    if (problem.status !== 401) throw problem;
    held = null;
    return false;
  }).finally(() => {
    renewing = null;
  });
  return renewing;
}

function untilSignedIn(): Promise<void> {
  become('expired');
  return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
}

async function bearer(): Promise<string> {
  while (held === null || performance.now() >= held.renewAt) {
    if (state === 'expired' || !(await renew())) await untilSignedIn();
  }
  return held.token;
}

async function send(request: Request, token: string): Promise<Response> {
  const copy = request.clone();
  copy.headers.set('Authorization', `Bearer ${token}`);
  return fetch(copy);
}

async function isUnauthorized(answer: Response): Promise<boolean> {
  return answer.status === 401 && (await problemOf(answer.clone())).code === 'unauthorized';
}

/** `fetch` with the caller's token. A request whose sign-in has ended waits until the person has signed in again. */
export async function authorizedFetch(request: Request): Promise<Response> {
  for (;;) {
    const token = await bearer();
    const answer = await send(request, token);
    if (!(await isUnauthorized(answer))) return answer;
    if (held?.token === token) held = null;
    await bearer();
    for (const watcher of renewedWatchers) watcher();
  }
}

/** At the page's start: goes on with the sign-in that the browser keeps, if there is one. */
export async function start() {
  if (!marked()) return become('out');
  if (!(await renew())) {
    mark(false);
    become('out');
  }
}

async function signInBy(path: string, body: unknown) {
  await locked(async () => {
    const answer = await ask(path, body);
    if (!answer.ok) throw await problemOf(answer);
    take((await answer.json()) as Tokens);
  });
  others?.postMessage('in');
}

export const signIn = (form: Omit<SignInNew, 'keep'>) => signInBy('/v1/sign-in', { ...form, keep: 'cookie' });
export const signInByCode = (code: string) => signInBy('/v1/sign-in/code', { code, keep: 'cookie' });

/** Forgets everything that this page holds of the sign-in; requests that wait for one fail. */
function forget() {
  held = null;
  subject = null;
  mark(false);
  const waited = waiting;
  waiting = [];
  for (const { reject } of waited) reject(new Error('signed out'));
  become('out');
}

export async function signOut(everywhere = false) {
  if (held !== null || (state === 'in' && (await renew()))) {
    const answer = await locked(() => ask('/v1/sign-out', { everywhere }, held?.token));
    if (!answer.ok && answer.status !== 401) throw await problemOf(answer);
  }
  forget();
  others?.postMessage('out');
}

others?.addEventListener('message', ({ data }) => {
  if (data === 'out' && state !== 'out') forget();
  if (data === 'in' && (state === 'expired' || state === 'out')) renew().catch(() => undefined);
});
