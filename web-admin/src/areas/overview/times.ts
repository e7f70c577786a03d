import { locale } from '@/text';

const hour = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(locale, { weekday: 'short', hour: '2-digit', minute: '2-digit' });
const instant = new Intl.DateTimeFormat(locale, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });

/** Below an axis: the time of the day, and over several days which day. */
export const labelOf = (at: string, hours: number) => (hours > 24 ? day : hour).format(new Date(at));

export const instantOf = (at: string) => instant.format(new Date(at));
