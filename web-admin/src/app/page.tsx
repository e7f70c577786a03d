import { createRootRoute, createRoute, lazyRouteComponent } from '@tanstack/react-router';
import type { ComponentType } from 'react';
import { NotFound, NotFoundAlone } from './NotFound';
import { Root } from './Root';
import { Shell } from './Shell';
import type { Search } from './search';

export const root = createRootRoute({
  component: Root,
  notFoundComponent: NotFoundAlone,
  validateSearch: (search): Search => search as Search,
});

/** Everything that somebody who has signed in sees. */
export const shell = createRoute({
  getParentRoute: () => root,
  id: 'in',
  component: Shell,
  notFoundComponent: NotFound,
});

/** A page within the shell, loaded when it is first shown. Its module exports the component `Page`. */
export const page = <const Path extends string>(path: Path, load: () => Promise<{ Page: ComponentType }>) =>
  createRoute({ getParentRoute: () => shell, path, component: lazyRouteComponent(load, 'Page') });
