import type { components } from './schema';

type Body = components['schemas']['Problem'];
export type FieldError = components['schemas']['ProblemField'];

/** What the API answered in place of what was asked (RFC 9457), or that it could not be reached (`unreachable`). */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly errors: readonly FieldError[];
  readonly requestId: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(body: Partial<Body>, retryAfter?: number) {
    super(body.detail ?? body.title ?? 'unreachable');
    this.name = 'Problem';
    this.code = body.type?.replace(/^\/problems\//, '') ?? 'unreachable';
    this.status = body.status ?? 0;
    this.title = body.title ?? '';
    this.errors = body.errors ?? [];
    this.requestId = body.request_id;
    this.retryAfter = retryAfter;
  }
}

/** The problem in an answer that is not a success; whatever stands between (a proxy) may have answered anything. */
export async function problemOf(answer: Response): Promise<Problem> {
  let body: unknown;
  try {
    body = JSON.parse(await answer.text());
  } catch {
    body = undefined;
  }
  return problemFrom(body, answer);
}

export function problemFrom(body: unknown, answer: Response): Problem {
  const retryAfter = Number(answer.headers.get('Retry-After')) || undefined;
  if (typeof body === 'object' && body !== null && 'type' in body) {
    return new Problem(body as Body, retryAfter);
  }
  const title = answer.statusText || String(answer.status);
  return new Problem({ type: '/problems/unknown', status: answer.status, title, detail: title }, retryAfter);
}

/** Any failure as a problem: what `fetch` throws says only that nothing came back. */
export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem({});
}
