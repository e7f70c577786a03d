import { QueryClient } from '@tanstack/react-query';
import { ME } from '@/client/me';
import { Problem } from '@/client/problem';
import { session } from '@/client/session';

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // The client has tried again already where that was worth it.
      retry: (failures, error) =>
        failures < 2 && error instanceof Problem && error.status === 429 && (error.retryAfter ?? 99) < 5,
      refetchOnWindowFocus: true,
    },
  },
});

session.onRenewed(() => void queries.invalidateQueries({ queryKey: ME }));
