// Restante as browsers meet it: `restante dev` on an embedded PostgreSQL and a directory of its own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** What would be slow for people only: sums, reports and jobs come within a second. */
const QUICK = {
  RESTANTE_ADMIN__REFUSAL_MS: '50',
  RESTANTE_ADMIN__RATE_LIMIT__PER_CALLER: '0',
  RESTANTE_ADMIN__RATE_LIMIT__PER_ADDRESS: '0',
  RESTANTE_POP3__DESK__REPORT_SECONDS: '1',
  RESTANTE_POP3__DESK__LIVE_AFTER_SECONDS: '1',
  RESTANTE_POP3__DESK__END_SECONDS: '1',
  RESTANTE_WORKER__USAGE_INTERVAL_SECONDS: '1',
  RESTANTE_WORKER__JOBS__POLL_MS: '100',
};
const LISTEN = ['pop3', 'pop3s', 'lmtp', 'admin', 'ops'].flatMap((name) => [`--${name}-listen`, '127.0.0.1:0']);
const PATIENCE = 90_000;

/** Waits until something is so; what it is not after so long is told by `what`. */
export async function until(what, is, milliseconds = 15_000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await is();
    if (value) return value;
    assert.ok(Date.now() < end, `not within ${milliseconds} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function startService() {
  const binary = process.env.RESTANTE_BINARY;
  assert.ok(binary, 'RESTANTE_BINARY names no program: run `make web-test`');
  const directory = mkdtempSync(join(tmpdir(), 'restante-web-'));
  const log = join(directory, 'log');
  const kept = Object.entries(process.env).filter(([name]) => !/^(RESTANTE_|AWS_)/.test(name));
  const command = ['--pdeathsig', 'TERM', binary, 'dev', '--data-dir', join(directory, 'data'), ...LISTEN];
  const child = spawn('setpriv', command, {
    env: { ...Object.fromEntries(kept), ...QUICK },
    stdio: ['ignore', 'pipe', openSync(log, 'w')],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const tail = () => readFileSync(log, 'utf8').slice(-4000);
  const ready = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line)));
    ended.then((code) => reject(new Error(`restante dev ended with ${code}\n${tail()}`)));
    setTimeout(() => reject(new Error(`restante dev is not ready\n${tail()}`)), PATIENCE).unref();
  });
  return {
    origin: ready.admin,
    token: ready.admin_token,
    pop3: Number(ready.pop3.split(':').at(-1)),
    lmtp: Number(ready.lmtp.split(':').at(-1)),
    api: apiOf(ready.admin, ready.admin_token),
    async stop() {
      child.kill('SIGTERM');
      assert.equal(await ended, 0, tail());
      rmSync(directory, { recursive: true });
    },
  };
}

/** The API as scripts use it: an answer that is no success fails. */
export function apiOf(origin, token) {
  return async (method, path, body, type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json') => {
    const headers = { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'Content-Type': type }) };
    const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body);
    const answer = await fetch(`${origin}${path}`, { method, headers, body: text });
    const answered = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${answered}`);
    return answered ? JSON.parse(answered) : null;
  };
}
