import type { ReactNode } from 'react';
import { Facts } from '@/parts/Section';
import { Time } from '@/parts/Time';
import { number, t } from '@/text';

// RFC 3339, as the API writes every moment.
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/;

function shown(value: unknown): ReactNode {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'boolean') return value ? t.common.yes : t.common.no;
  if (typeof value === 'number') return number(value);
  if (typeof value === 'string') return MOMENT.test(value) ? <Time at={value} exact /> : value;
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) return value.join(', ') || t.common.none;
  return <code>{JSON.stringify(value)}</code>;
}

/** What a finding was concluded from. Its fields depend on the finding, so their names are the API's, spaced. */
export function Evidence({ of }: { of: Record<string, unknown> }) {
  return <Facts of={Object.entries(of).map(([name, value]) => [name.replaceAll('_', ' '), shown(value)] as const)} />;
}
