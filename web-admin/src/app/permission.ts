type Kind =
  | 'tenants'
  | 'domains'
  | 'accounts'
  | 'aliases'
  | 'credentials'
  | 'sessions'
  | 'transcripts'
  | 'admins'
  | 'api-keys'
  | 'webhooks'
  | 'jobs';

/** The words of `GET /v1/me`. */
export type Permission =
  | `${Kind}:${'read' | 'write'}`
  | 'domains:vouch'
  | 'messages:read'
  | 'messages:deliver'
  | 'messages:restore'
  | 'messages:raw'
  | 'activity:read'
  | 'usage:read'
  | 'audit:read';
