import { Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { api, type Schemas, take, takeTrial } from '@/client/api';
import { told } from '@/parts/notify';
import { octetsOf } from '@/parts/Octets';
import { t } from '@/text';
import { TrialDialog } from './TrialDialog';

const words = t.desk.restore;

type Restored = Schemas['RestoredBody'];

export type Selection = Schemas['MessagesRestore'];

interface Props {
  address: string;
  what: Selection;
  title: string;
  detail: string;
  verb: string;
  onClose: () => void;
  done?: () => void;
}

/** Restores a selection of deleted mail, after its trial. */
export function RestoreDialog({ address, what, title, detail, verb, onClose, done }: Props) {
  const queries = useQueryClient();
  const path = { address };
  const ask = (dry_run: boolean) =>
    api.POST('/v1/accounts/{address}/messages/restore', { params: { path, query: { dry_run } }, body: what });
  return (
    <TrialDialog
      title={title}
      verb={verb}
      onClose={onClose}
      trial={() => takeTrial(ask(true))}
      words={(result) => <Would of={result as Restored} />}
      act={async () => {
        const { messages } = await take(ask(false));
        told(words.done(messages));
      }}
      done={() => {
        done?.();
        void queries.invalidateQueries({ queryKey: ['accounts'] });
      }}
    >
      <Text size="sm">{detail}</Text>
    </TrialDialog>
  );
}

function Would({ of }: { of: Restored }) {
  return <Text fw={600}>{of.messages === 0 ? words.wouldNothing : words.would(of.messages, octetsOf(of.octets))}</Text>;
}
