import type { Schemas } from '@/client/api';
import { Problem } from '@/client/problem';
import { number, t } from '@/text';

type Account = Schemas['MigrationAccount'];

/** `address, login, password` a line; the password is all that follows the second comma, whatever is in it. */
export function accountsOf(text: string): Account[] {
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [address = '', login = '', ...rest] = line.split(',');
      return { address: address.trim(), login: login.trim() || null, password: rest.join(',').trim() };
    });
}

/** The same problem, whose errors in the list of maildrops say in which line they are. */
export function withLines(problem: Problem): Problem {
  const errors = problem.errors.map((error) => {
    const [, index] = /^\/accounts\/(\d+)/.exec(error.pointer) ?? [];
    return index === undefined ? error : { ...error, detail: t.jobs.inLine(number(Number(index) + 1), error.detail) };
  });
  return new Problem(
    {
      type: `/problems/${problem.code}`,
      status: problem.status,
      title: problem.title,
      detail: problem.message,
      errors,
      ...(problem.requestId ? { request_id: problem.requestId } : {}),
    },
    problem.retryAfter,
  );
}
