import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback } from 'react';

/** What stands behind the `?` of an address: words and nothing else, so that every address can be shared and typed. */
export type Search = Record<string, string | undefined>;

export const parseSearch = (text: string): Search => Object.fromEntries(new URLSearchParams(text));

export function stringifySearch(search: Record<string, unknown>): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (value !== undefined && value !== null && value !== '') parts.set(name, String(value));
  }
  const text = parts.toString();
  return text ? `?${text}` : '';
}

interface Options {
  /** A step that Back undoes; without it the address is only kept true. */
  push?: boolean;
  /** Kept with the entry of the history: the cursors of the pages before. */
  trail?: string[];
}

/** The address's search, and how to change parts of it. */
export function useAddress(): [Search, (changes: Search, options?: Options) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const change = useCallback(
    (changes: Search, { push = false, trail }: Options = {}) => {
      void navigate({
        to: '.',
        search: (before: Search) => ({ ...before, ...changes }),
        state: (before) => ({ ...before, trail }),
        replace: !push,
        resetScroll: push,
      });
    },
    [navigate],
  );
  return [search, change];
}

declare module '@tanstack/react-router' {
  interface HistoryState {
    trail?: string[] | undefined;
  }
}
