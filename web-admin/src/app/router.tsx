import { createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { Loading } from '@/parts/Loading';
import { Broken } from './Broken';
import { wishFocus } from './focus';
import { root, shell } from './page';
import { pages } from './routes';
import { parseSearch, stringifySearch } from './search';

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  component: lazyRouteComponent(() => import('@/areas/sign-in/SignIn'), 'SignIn'),
});

export const router = createRouter({
  routeTree: root.addChildren([signIn, shell.addChildren(pages)]),
  parseSearch,
  stringifySearch,
  pathParamsAllowedCharacters: ['@', '+', ':'],
  defaultPendingComponent: Loading,
  defaultErrorComponent: Broken,
  defaultPreload: 'intent',
  scrollRestoration: true,
});

router.subscribe('onBeforeNavigate', ({ fromLocation, pathChanged }) => {
  if (fromLocation && pathChanged) wishFocus();
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
