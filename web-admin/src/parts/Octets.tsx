import { locale, number, t } from '@/text';

const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte'] as const;

/** In decimal units, as quotas are given: 1 GB is 1 000 000 000 octets. */
export function octetsOf(value: number): string {
  const power = value < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  const format = new Intl.NumberFormat(locale, {
    style: 'unit',
    unit: units[power],
    unitDisplay: power === 0 ? 'long' : 'short',
    maximumFractionDigits: power === 0 ? 0 : 1,
  });
  return format.format(value / 1000 ** power);
}

export function Octets({ value }: { value: number | null | undefined }) {
  if (value == null) return <>{t.common.unlimited}</>;
  return <span title={t.common.octets(number(value))}>{octetsOf(value)}</span>;
}
