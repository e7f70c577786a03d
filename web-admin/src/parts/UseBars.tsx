import { Stack } from '@mantine/core';
import { number, t } from '@/text';
import { Bar } from './Bar';
import { octetsOf } from './Octets';

const words = t.tenants;
// In the order in which they are asked for; an account has no accounts, and a domain no domains.
const COUNTED = ['messages', 'deliveries', 'sessions', 'accounts', 'domains'] as const;
type Counted = (typeof COUNTED)[number];
type Limits = { octets?: number | null } & { [of in Counted]?: number | null };
type Used = { octets: number; limits: Limits } & { [of in Counted]?: number };

const labels: Record<Counted, string> = {
  messages: words.messages,
  deliveries: words.deliveries,
  sessions: words.sessions,
  accounts: words.accounts,
  domains: words.domains,
};

/** What an account, a domain or a tenant uses, each beside the limit that holds for it. */
export function UseBars({ of: { octets, limits, ...used } }: { of: Used }) {
  return (
    <Stack gap="sm">
      <Bar label={words.storage} used={octets} limit={limits.octets} format={octetsOf} />
      {COUNTED.map((name) => {
        const now = used[name];
        return (
          now !== undefined && <Bar key={name} label={labels[name]} used={now} limit={limits[name]} format={number} />
        );
      })}
    </Stack>
  );
}
