import { Navigate, Outlet, useLocation } from '@tanstack/react-router';
import { useSyncExternalStore } from 'react';
import { session } from '@/client/session';
import { Loading } from '@/parts/Loading';

/** Decides by the sign-in alone what is shown: nothing yet, the sign-in page, or the rest. */
export function Root() {
  const state = useSyncExternalStore(session.watch, session.state);
  const { pathname, href } = useLocation();
  if (state === 'starting') return <Loading />;
  if (state === 'out' && pathname !== '/sign-in') {
    return <Navigate to="/sign-in" search={href === '/' ? {} : { to: href }} replace />;
  }
  return <Outlet />;
}
