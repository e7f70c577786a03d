import { en } from './en';

/** Every text of the console. A translation is another value of this type, whole or it does not compile. */
export type Texts = typeof en;

// One language so far. A second one is loaded here before the first paint, by the browser's languages.
export const t: Texts = en;
export const language = 'en';

/** How numbers and times are written: the reader's own variety of the language, if they have one. */
export const locale =
  navigator.languages?.find((tag) => tag === language || tag.startsWith(`${language}-`)) ?? language;

const plurals = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(locale);

export const number = (value: number) => numbers.format(value);

/** `{ one: 'account', other: 'accounts' }` by the language's own rules, with the number before it. */
export function count(value: number, forms: { one: string; other: string }): string {
  return `${number(value)} ${plurals.select(value) === 'one' ? forms.one : forms.other}`;
}
