import type { paths } from './schema';
import generated from './sorts.json';

const sorts: Record<string, readonly string[]> = generated;

/** The orders in which the API's document says that a list can be had; none where it says nothing. */
export const sortsOf = (path: keyof paths): readonly string[] | undefined => sorts[path];
