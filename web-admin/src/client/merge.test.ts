import { expect, test } from 'vitest';
import { merged } from './merge';

test('what was typed lies over what was there, null too', () => {
  const base = { issuer: 'a', claim: { name: 'groups', value: 'x' }, scopes: ['s'] };
  expect(merged(base, { claim: { value: 'y' }, scopes: [], role: null })).toEqual({
    issuer: 'a',
    claim: { name: 'groups', value: 'y' },
    scopes: [],
    role: null,
  });
  expect(merged({ claim: null }, { claim: { name: 'n' } })).toEqual({ claim: { name: 'n' } });
  expect(base.claim.value).toBe('x');
});
