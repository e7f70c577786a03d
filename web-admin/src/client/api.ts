import createClient from 'openapi-fetch';
import { Problem, problemFrom } from './problem';
import type { components, paths } from './schema';
import { authorizedFetch } from './session';

export type Schemas = components['schemas'];
export type DryRun = Schemas['DryRun'];

/** Without `crypto.randomUUID`, which exists only over TLS and on this machine. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (octet) => octet.toString(16).padStart(2, '0')).join(
    '',
  );
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * One request. Each POST has an `Idempotency-Key` of its own, so an answer that was lost on the way may be asked for again.
 * What was refused with 503 or could not be sent is tried once more.
 */
async function send(request: Request): Promise<Response> {
  if (request.method === 'POST') request.headers.set('Idempotency-Key', randomKey());
  try {
    const answer = await authorizedFetch(request);
    const wait = Number(answer.headers.get('Retry-After'));
    if (answer.status !== 503 || !(wait > 0 && wait <= 3)) return answer;
    await pause(wait * 1000);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    await pause(500);
  }
  return authorizedFetch(request);
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: send });

/** What a call answers, good or bad. */
export interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

function successOf<T>({ data, error, response }: Answer<T>): T | undefined {
  if (!response.ok) throw problemFrom(error, response);
  return data;
}

/** What the API answered, or a {@link Problem}. For changes that were really made, and for lists. */
export async function take<T>(answer: Promise<Answer<T>>): Promise<Exclude<T, DryRun>> {
  return successOf(await answer) as Exclude<T, DryRun>;
}

/** What a trial answered (`dry_run=true`). */
export async function takeTrial<T>(answer: Promise<Answer<T>>): Promise<DryRun> {
  const { response, data, error } = await answer;
  if (!response.ok) throw problemFrom(error, response);
  if (response.headers.get('Dry-Run') !== 'true') throw new Problem({ type: '/problems/unknown', title: 'no trial' });
  return data as DryRun;
}

/** A resource with the version to send back in `If-Match`. */
export interface Versioned<T> {
  value: T;
  etag: string | undefined;
}

export async function read<T>(answer: Promise<Answer<T>>): Promise<Versioned<Exclude<T, DryRun>>> {
  const got = await answer;
  const value = successOf(got) as Exclude<T, DryRun>;
  return { value, etag: got.response.headers.get('ETag') ?? undefined };
}

/** The header of a change that is only made to the version which was read. */
export const ifMatch = (etag: string | undefined): { 'If-Match'?: string } => (etag ? { 'If-Match': etag } : {});
