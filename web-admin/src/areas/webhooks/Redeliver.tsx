import { Button } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { api, take } from '@/client/api';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';

const words = t.webhooks;

interface Props {
  webhook: string;
  delivery: string;
  /** In a row of a table. */
  small?: boolean;
}

export function Redeliver({ webhook, delivery, small = false }: Props) {
  const queries = useQueryClient();
  const path = { id: webhook, delivery };
  const again = useMutation({
    mutationFn: () => take(api.POST('/v1/webhooks/{id}/deliveries/{delivery}/redeliver', { params: { path } })),
    onSuccess: async () => {
      told(words.redelivered);
      await queries.invalidateQueries({ queryKey: ['webhooks', webhook] });
    },
  });
  return (
    <>
      <Button
        size={small ? 'compact-sm' : undefined}
        variant="default"
        aria-label={small ? words.redeliverOf(delivery) : undefined}
        loading={again.isPending}
        onClick={() => again.mutate()}
      >
        {words.redeliver}
      </Button>
      <ProblemAlert error={again.error} />
    </>
  );
}
