import { Code, Modal, Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, take } from '@/client/api';
import { Loading } from '@/parts/Loading';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { number, t } from '@/text';

const words = t.accounts;

interface Props {
  address: string;
  id: string;
  onClose: () => void;
}

/** What a session said, command by command. */
export function TranscriptModal({ address, id, onClose }: Props) {
  const transcript = useQuery({
    queryKey: ['accounts', address, 'transcripts', id],
    queryFn: () => take(api.GET('/v1/accounts/{address}/transcripts/{id}', { params: { path: { address, id } } })),
  });
  return (
    <Modal opened onClose={onClose} title={words.transcript} size="xl">
      {transcript.isPending && <Loading />}
      <ProblemAlert error={transcript.error} />
      {transcript.data && (
        <Table fz="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{words.command}</Table.Th>
              <Table.Th>{words.reply}</Table.Th>
              <Table.Th ta="right">{words.milliseconds}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {transcript.data.entries.map((entry, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a session is over and does not change
              <Table.Tr key={index}>
                <Table.Td>
                  <Code className="wrap">{entry.command}</Code>
                </Table.Td>
                <Table.Td>
                  <Code className="wrap">{entry.reply}</Code>
                </Table.Td>
                <Table.Td ta="right">{number(entry.milliseconds)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Modal>
  );
}
