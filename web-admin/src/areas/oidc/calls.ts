import { api, ifMatch, read, type Schemas, take, takeTrial, type Versioned } from '@/client/api';
import { Problem } from '@/client/problem';

type Issuer = Schemas['OidcIssuer'];

/** The calls for the issuer of a tenant, or of the platform. */
export function issuerOf(slug: string | null) {
  const path = { slug: slug ?? '' };
  return {
    async get(): Promise<Versioned<Issuer> | null> {
      try {
        return await read(slug ? api.GET('/v1/tenants/{slug}/oidc', { params: { path } }) : api.GET('/v1/oidc'));
      } catch (error) {
        if (error instanceof Problem && error.status === 404) return null;
        throw error;
      }
    },
    set(body: Schemas['OidcIssuerSet'], etag: string | undefined) {
      const header = ifMatch(etag);
      return take(
        slug
          ? api.PUT('/v1/tenants/{slug}/oidc', { params: { path, header }, body })
          : api.PUT('/v1/oidc', { params: { header }, body }),
      );
    },
    tryRemove(etag: string | undefined) {
      const params = { header: ifMatch(etag), query: { dry_run: true } };
      return takeTrial(
        slug
          ? api.DELETE('/v1/tenants/{slug}/oidc', { params: { path, ...params } })
          : api.DELETE('/v1/oidc', { params }),
      );
    },
    remove(etag: string | undefined) {
      const params = { header: ifMatch(etag) };
      return take(
        slug
          ? api.DELETE('/v1/tenants/{slug}/oidc', { params: { path, ...params } })
          : api.DELETE('/v1/oidc', { params }),
      );
    },
  };
}

/** What stands there as what is sent: but the secret, which is never shown and stays when it is left out. */
export function settingsOf({ issuer, client_id, ...rest }: Issuer): Schemas['OidcIssuerSet'] {
  const { extra_scopes, allowed_domains, default_role, required_claim, role_claim } = rest;
  return { issuer, client_id, extra_scopes, allowed_domains, default_role, required_claim, role_claim };
}
