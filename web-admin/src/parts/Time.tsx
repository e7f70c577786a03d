import { useSyncExternalStore } from 'react';
import { language, locale, t } from '@/text';

const exact = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });
const days = new Intl.DateTimeFormat(locale, { dateStyle: 'medium' });
const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 365 * 86400],
  ['month', 30 * 86400],
  ['week', 7 * 86400],
  ['day', 86400],
  ['hour', 3600],
  ['minute', 60],
];

export function ago(at: Date, now: number): string {
  const seconds = (at.getTime() - now) / 1000;
  for (const [unit, length] of steps) {
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  }
  return relative.format(Math.trunc(seconds), 'second');
}

export const exactly = (at: string) => exact.format(new Date(at));
export const dayOf = (at: string) => days.format(new Date(at));

// One clock for all times on the page; it moves every quarter of a minute.
let now = Date.now();
const watchers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function watch(watcher: () => void) {
  watchers.add(watcher);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of watchers) each();
  }, 15_000);
  return () => {
    watchers.delete(watcher);
    if (watchers.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** How long ago, with the exact time as its title; `exact` shows that one. */
export function Time({ at, exact: whole = false }: { at: string | null | undefined; exact?: boolean }) {
  const current = useSyncExternalStore(watch, () => now);
  if (!at) return <>{t.common.never}</>;
  const date = new Date(at);
  return (
    <time dateTime={at} title={exactly(at)}>
      {whole ? exactly(at) : ago(date, Math.max(current, Date.now() - 15_000))}
    </time>
  );
}
