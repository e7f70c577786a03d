import { expect, test } from 'vitest';
import { parseSearch, stringifySearch } from '@/app/search';
import { headerText, testMessage } from '@/areas/accounts/Deliver';
import { serverOf } from '@/areas/accounts/SetUp';
import { placeIn } from '@/areas/sign-in/place';
import { changesBetween } from './changes';
import { octetsOf } from './Octets';
import { ago } from './Time';

test('changes are named field by field', () => {
  const before = { status: 'active', quota: { octets: 5, messages: null } };
  const after = { status: 'suspended', quota: { octets: 5, messages: 3 }, targets: ['a', 'b'] };
  expect(changesBetween(before, after)).toEqual([
    { path: 'status', before: 'active', after: 'suspended' },
    { path: 'quota.messages', before: undefined, after: '3' },
    { path: 'targets', before: undefined, after: '["a","b"]' },
  ]);
});

test('octets are told in decimal units', () => {
  expect(octetsOf(999)).toBe('999 bytes');
  expect(octetsOf(1_500_000)).toBe('1.5 MB');
  expect(octetsOf(0)).toBe('0 bytes');
});

test('times are told by their largest unit', () => {
  const now = Date.parse('2026-01-02T00:00:00Z');
  expect(ago(new Date('2026-01-01T00:00:00Z'), now)).toBe('yesterday');
  expect(ago(new Date('2026-01-02T00:03:10Z'), now)).toBe('in 3 minutes');
});

test('after a sign-in nobody is sent to another host', () => {
  expect(placeIn('/accounts/a@b.test?tab=messages')).toBe('/accounts/a@b.test?tab=messages');
  for (const evil of [
    '//evil.test',
    'https://evil.test',
    '/\\evil.test',
    'javascript:alert(1)',
    '/sign-in?to=/',
    null,
  ]) {
    expect(placeIn(evil)).toBe('/');
  }
});

test('an address keeps words as they are', () => {
  expect(parseSearch(stringifySearch({ prefix: '0123', domain: 'ä.test', cursor: undefined }))).toEqual({
    prefix: '0123',
    domain: 'ä.test',
  });
});

test('a header cannot be broken out of, and is ASCII', () => {
  expect(headerText('a\r\nBcc: x@evil.test')).toBe('a Bcc: x@evil.test');
  const long = headerText('ä'.repeat(60));
  expect(long).toMatch(/^[ -~\r\n]+$/);
  for (const line of long.split('\r\n')) expect(line.trim().length).toBeLessThanOrEqual(75);
  const decoded = [...long.matchAll(/=\?utf-8\?B\?([^?]+)\?=/g)].map(([, word]) => atob(word ?? '')).join('');
  expect(new TextDecoder().decode(Uint8Array.from(decoded, (c) => c.charCodeAt(0)))).toBe('ä'.repeat(60));
});

test('a test message ends its lines as mail does', () => {
  const text = testMessage('admin@acme.test', 'a@acme.test', 'hello', 'one\ntwo', new Date(0));
  expect(text).toContain('\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n');
  expect(text.replaceAll('\r\n', '')).not.toContain('\n');
  expect(text.endsWith('\r\n\r\none\r\ntwo\r\n')).toBe(true);
});

test('the server of a mail client is that of the domain’s records', () => {
  const record = (name: string, expected: string[]) => ({
    purpose: 'pop3' as const,
    required: false,
    type: 'SRV',
    name,
    expected,
    found: [],
    state: 'missing' as const,
  });
  const records = [
    record('_pop3._tcp.a.test', ['0 1 110 pop.a.test.']),
    record('_pop3s._tcp.a.test', ['0 1 995 pop.a.test']),
  ];
  expect(serverOf(records, '_pop3s._tcp')).toEqual({ host: 'pop.a.test', port: '995' });
  expect(serverOf(records, '_pop3._tcp')).toEqual({ host: 'pop.a.test', port: '110' });
  expect(serverOf([], '_pop3s._tcp')).toBeUndefined();
});
