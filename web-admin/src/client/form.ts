import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useCallback, useRef, useState } from 'react';
import { type At, at, build, type Pointer } from './pointer';
import { asProblem, type Problem } from './problem';

export interface Field<V> {
  name: string;
  value: V | undefined;
  /** A method, so that a field of narrower values is one of wider: what it is given is chosen from its own options. */
  onChange(value: V): void;
  error: string | undefined;
}

export interface Form<B> {
  /** The field at a pointer into the body: what is there, or what was typed over it. */
  field: <P extends Pointer<B>>(pointer: P) => Field<At<B, P>>;
  set: <P extends Pointer<B>>(pointer: P, value: At<B, P>) => void;
  submit: (event?: FormEvent) => Promise<void>;
  reset: () => void;
  busy: boolean;
  dirty: boolean;
  /** What is wrong with the request as a whole: everything that no field shows. */
  problem: Problem | null;
}

interface Options<B> {
  /** What is there now; a form that makes something new leaves it out. */
  base?: unknown;
  /** Sends what was changed: the whole body of something new, the merge patch of a change. */
  send: (body: B) => Promise<unknown>;
  /** What to read again after a success, and after "changed in the meantime". */
  refresh?: readonly unknown[];
  done?: () => void;
  /** What stands in a new thing's fields before anything was typed. */
  start?: Partial<Record<Pointer<B>, unknown>>;
}

/**
 * A form over the body of one request. Only what was typed is kept here, on top of what is there: when somebody else has
 * changed it, the newer version is read, what was typed stays, and saving again sends it against that version.
 */
export function useForm<B>({ base, send, refresh, done, start }: Options<B>): Form<B> {
  const begin = () => new Map<string, unknown>(Object.entries(start ?? {}));
  const [typed, setTyped] = useState<ReadonlyMap<string, unknown>>(begin);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const shown = useRef(new Set<string>());
  const queries = useQueryClient();

  const set = useCallback((pointer: string, value: unknown) => {
    setTyped((before) => new Map(before).set(pointer, value));
    setProblem((before) => (before?.errors.some((error) => error.pointer.startsWith(pointer)) ? null : before));
  }, []);

  const errorAt = (pointer: string) =>
    problem?.errors
      .filter((error) => error.pointer === pointer || error.pointer.startsWith(`${pointer}/`))
      .map((error) => error.detail)
      .join('; ') || undefined;

  const field = (pointer: string) => {
    shown.current.add(pointer);
    return {
      name: pointer,
      value: typed.has(pointer) ? typed.get(pointer) : at(base, pointer),
      onChange: (value: unknown) => set(pointer, value),
      error: errorAt(pointer),
    };
  };

  const submit = async (event?: FormEvent) => {
    event?.preventDefault();
    const element = event?.currentTarget;
    setBusy(true);
    setProblem(null);
    try {
      await send(build(typed) as B);
      setTyped(begin());
      if (refresh) await queries.invalidateQueries({ queryKey: refresh });
      done?.();
    } catch (error) {
      const found = asProblem(error);
      setProblem(found);
      if (found.code === 'precondition-failed' && refresh) await queries.invalidateQueries({ queryKey: refresh });
      requestAnimationFrame(() => element?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
    } finally {
      setBusy(false);
    }
  };

  const isShown = (pointer: string) =>
    [...shown.current].some((name) => pointer === name || pointer.startsWith(`${name}/`));
  const left = problem?.errors.filter((error) => !isShown(error.pointer)) ?? [];
  const whole = problem && (problem.errors.length === 0 || left.length > 0) ? problem : null;

  return {
    field: field as unknown as Form<B>['field'],
    set: set as unknown as Form<B>['set'],
    submit,
    reset: () => {
      setTyped(begin());
      setProblem(null);
    },
    busy,
    dirty: typed.size > 0,
    problem: whole,
  };
}
