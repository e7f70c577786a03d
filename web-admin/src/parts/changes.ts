export interface Change {
  path: string;
  before: string | undefined;
  after: string | undefined;
}

function flat(value: unknown, path: string, into: Map<string, string>) {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    for (const [name, inner] of Object.entries(value)) flat(inner, path ? `${path}.${name}` : name, into);
  } else if (value !== null && value !== undefined) {
    into.set(path, typeof value === 'string' ? value : JSON.stringify(value));
  }
}

/** The fields in which two values differ. A field that is null is one that is not there. */
export function changesBetween(before: unknown, after: unknown): Change[] {
  const old = new Map<string, string>();
  const young = new Map<string, string>();
  flat(before, '', old);
  flat(after, '', young);
  return [...new Set([...old.keys(), ...young.keys()])]
    .filter((path) => old.get(path) !== young.get(path))
    .map((path) => ({ path, before: old.get(path), after: young.get(path) }));
}
