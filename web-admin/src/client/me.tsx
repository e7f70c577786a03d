import { useQuery } from '@tanstack/react-query';
import { createContext, useContext } from 'react';
import type { Permission } from '@/app/permission';
import { api, type Schemas, take } from './api';

export type Me = Schemas['Me'];

export const ME = ['me'] as const;

export function useMeQuery(enabled: boolean) {
  return useQuery({ queryKey: ME, queryFn: () => take(api.GET('/v1/me')), enabled, staleTime: 60_000 });
}

export const MeContext = createContext<Me | null>(null);

/** Who is signed in. Only inside of the shell, which shows nothing before it is known. */
export function useMe(): Me {
  const me = useContext(MeContext);
  if (!me) throw new Error('outside of the shell');
  return me;
}

/** Whether the person may do a kind of act: what they may not is not offered. The API judges each request all the same. */
export function useMay(): (permission: Permission) => boolean {
  const { permissions } = useMe();
  return (permission) => permissions.includes(permission);
}

/** Whether the person belongs to the platform, and so sees all tenants. */
export const usePlatform = () => useMe().tenant == null;
