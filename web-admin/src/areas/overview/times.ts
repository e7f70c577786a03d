import { locale } from '@/text';

const hour = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(locale, { weekday: 'short' });
const instant = new Intl.DateTimeFormat(locale, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });

/** Below an axis: the time of the day, and over several days the day. */
export const labelOf = (at: string, hours: number) => (hours > 24 ? day : hour).format(new Date(at));

export const instantOf = (at: string) => instant.format(new Date(at));

/** Which of these hours are the middle of a day, where the reader is: there the day's name stands. */
export const middaysOf = (hours: readonly string[]) =>
  hours.flatMap((at, place) => (new Date(at).getHours() === 12 ? [place] : []));
