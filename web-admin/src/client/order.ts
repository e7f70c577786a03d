import type { paths } from './schema';
import sorts from './sorts.json';

/** The orders that the API offers for a list. */
export const sortsOf = (path: keyof paths): readonly string[] =>
  (sorts as Partial<Record<keyof paths, readonly string[]>>)[path] ?? [];

/** The order as a parameter. What the address has was looked up in {@link sortsOf}, so it is one of the path's own. */
export const sorted = (sort: string | undefined) => (sort ? { sort } : {}) as { sort?: never };
