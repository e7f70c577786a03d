import { Modal, Stack, Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { api, take } from '@/client/api';
import { Loading } from '@/parts/Loading';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { exactly } from '@/parts/Time';
import { number, t } from '@/text';
import { From } from './session-cells';

const words = t.desk.transcripts;

interface Props {
  address: string;
  id: string;
  onClose: () => void;
}

/** What one session said, command by command. */
export function TranscriptView({ address, id, onClose }: Props) {
  const transcript = useQuery({
    queryKey: ['accounts', address, 'transcripts', id],
    queryFn: () => take(api.GET('/v1/accounts/{address}/transcripts/{id}', { params: { path: { address, id } } })),
  });
  return (
    <Modal opened onClose={onClose} title={words.one} size="xl">
      {transcript.isPending && <Loading />}
      <ProblemAlert error={transcript.error} />
      {transcript.data && (
        <Stack gap="sm">
          <div>
            <Text size="sm">{words.began(exactly(transcript.data.started_at), transcript.data.address)}</Text>
            <From of={{ address: '', client: transcript.data.client }} />
          </div>
          <Table.ScrollContainer minWidth={320} type="native">
            <Table fz="sm" verticalSpacing={4} aria-label={words.one}>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th ta="right">{words.milliseconds}</Table.Th>
                  <Table.Th>{words.command}</Table.Th>
                  <Table.Th>{words.reply}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {transcript.data.entries.map((entry, index) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: what was said stays in its order
                  <Table.Tr key={index}>
                    <Table.Td ta="right" style={{ whiteSpace: 'nowrap' }}>
                      {words.ms(number(entry.milliseconds))}
                    </Table.Td>
                    <Table.Td className="wrap">
                      <code>{entry.command}</code>
                    </Table.Td>
                    <Table.Td className="wrap">
                      <code>{entry.reply}</code>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
          {transcript.data.truncated && <Text size="sm">{words.truncated}</Text>}
        </Stack>
      )}
    </Modal>
  );
}
