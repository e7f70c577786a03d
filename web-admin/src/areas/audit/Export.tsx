import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useAddress } from '@/app/search';
import { api, take } from '@/client/api';
import { downloadBlob } from '@/parts/download';
import { Icon } from '@/parts/Icon';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';

const words = t.audit;

/** Everything that the filters of the address let through, as a file. */
export function Export() {
  const [{ tenant, actor, action, target, since, until }] = useAddress();
  const query = { tenant, actor, action, target, since, until };
  const take_ = useMutation({
    mutationFn: () => take<Blob>(api.GET('/v1/audit-events/export', { params: { query }, parseAs: 'blob' })),
    onSuccess: (blob) => downloadBlob(`audit-${new Date().toISOString().slice(0, 10)}.ndjson`, blob),
  });
  return (
    <>
      <Button
        variant="default"
        leftSection={<Icon name="download" size={16} />}
        title={words.exportHint}
        loading={take_.isPending}
        onClick={() => take_.mutate()}
      >
        {words.export}
      </Button>
      <ProblemAlert error={take_.error} />
    </>
  );
}
