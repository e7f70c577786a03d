// Fields are named by JSON pointers (RFC 6901) into the body of the request, as the API names them in its problems.

type Leaf = string | number | boolean | null | undefined | readonly unknown[];

type Children<T> = T extends Leaf
  ? never
  : { [K in keyof T & string]: `/${K}` | `/${K}${Children<NonNullable<T[K]>>}` }[keyof T & string];

/** The pointers to the fields of `T`: a field that the API no longer has does not compile. */
export type Pointer<T> = Children<T>;

/** What `T` has at a pointer. */
export type At<T, P extends string> = P extends `/${infer Head}/${infer Rest}`
  ? T extends Leaf
    ? never
    : Head extends keyof T
      ? At<NonNullable<T[Head]>, `/${Rest}`>
      : never
  : P extends `/${infer Head}`
    ? T extends Leaf
      ? never
      : Head extends keyof T
        ? T[Head]
        : never
    : never;

const parts = (pointer: string) =>
  pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

export function at(value: unknown, pointer: string): unknown {
  let here = value;
  for (const part of parts(pointer)) {
    if (typeof here !== 'object' || here === null) return undefined;
    here = (here as Record<string, unknown>)[part];
  }
  return here;
}

/** The object that has these values at these pointers, and nothing else: a merge patch (RFC 7396). */
export function build(values: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const whole: Record<string, unknown> = {};
  for (const [pointer, value] of values) {
    const path = parts(pointer);
    const last = path.pop();
    if (last === undefined) continue;
    let here = whole;
    for (const part of path) {
      const next = here[part];
      const inner: Record<string, unknown> =
        typeof next === 'object' && next !== null ? (next as Record<string, unknown>) : {};
      here[part] = inner;
      here = inner;
    }
    here[last] = value;
  }
  return whole;
}
