import { expect, test } from 'vitest';
import { Problem } from '@/client/problem';
import { accountsOf, withLines } from './maildrops';

test('a line is an address, a name and a password with whatever it has', () => {
  const text = 'alice@acme.test, alice, a,b c\r\n\n  bob@acme.test,,secret';
  expect(accountsOf(text)).toEqual([
    { address: 'alice@acme.test', login: 'alice', password: 'a,b c' },
    { address: 'bob@acme.test', login: null, password: 'secret' },
  ]);
});

test('what is wrong with a maildrop says in which line', () => {
  const errors = [
    { pointer: '/accounts/1/address', code: 'not_found', detail: 'there is no such account' },
    { pointer: '/source/host', code: 'required', detail: 'must be given' },
  ];
  const problem = withLines(new Problem({ type: '/problems/invalid', status: 422, title: 'Invalid', errors }));
  expect(problem.code).toBe('invalid');
  expect(problem.errors.map(({ detail }) => detail)).toEqual(['line 2: there is no such account', 'must be given']);
});
