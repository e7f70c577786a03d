import { expect, test } from 'vitest';
import { at, build } from './pointer';

test('a patch has what was typed and nothing else', () => {
  const typed = new Map<string, unknown>([
    ['/quota/octets', null],
    ['/quota/messages', 5],
    ['/policy/view', { last_days: 3 }],
  ]);
  expect(build(typed)).toEqual({ quota: { octets: null, messages: 5 }, policy: { view: { last_days: 3 } } });
});

test('escapes of RFC 6901 are undone', () => {
  expect(build(new Map([['/a~1b/c~0d', 1]]))).toEqual({ 'a/b': { 'c~d': 1 } });
  expect(at({ 'a/b': { 'c~d': 1 } }, '/a~1b/c~0d')).toBe(1);
});

test('what is not there is undefined', () => {
  expect(at({ quota: null }, '/quota/octets')).toBeUndefined();
});
