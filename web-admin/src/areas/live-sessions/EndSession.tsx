import { Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { told } from '@/parts/notify';
import { TryButton } from '@/parts/TryButton';
import { t } from '@/text';

const words = t.liveSessions;

export function EndSession({ of: { id, account, address } }: { of: Schemas['LiveSession'] }) {
  const queries = useQueryClient();
  const end = (dry_run?: true) =>
    api.DELETE('/v1/live-sessions/{id}', { params: { path: { id }, query: { dry_run } } });
  return (
    <TryButton
      size="compact-sm"
      label={words.endLabel(account, address)}
      title={words.endTitle}
      verb={words.end}
      trial={() => takeTrial(end(true))}
      act={() => take(end())}
      done={() => {
        told(words.endDone);
        void queries.invalidateQueries({ queryKey: ['live-sessions'] });
        void queries.invalidateQueries({ queryKey: ['accounts', account] });
      }}
    >
      <Text size="sm">{words.endDetail(account, address)}</Text>
    </TryButton>
  );
}
