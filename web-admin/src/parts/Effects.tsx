import { Code, List, Table, Text } from '@mantine/core';
import type { Schemas } from '@/client/api';
import { number, t } from '@/text';
import { changesBetween } from './changes';

/** What changed from one version to the next, field by field. */
export function Changes({ before, after }: { before: unknown; after: unknown }) {
  const changes = changesBetween(before, after);
  const words = t.common.changes;
  if (changes.length === 0) return <Text size="sm">{words.nothing}</Text>;
  return (
    <Table.ScrollContainer minWidth={280} type="native">
      <Table fz="sm" verticalSpacing={4}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{words.field}</Table.Th>
            <Table.Th>{words.before}</Table.Th>
            <Table.Th>{words.after}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {changes.map(({ path, before: old, after: young }) => (
            <Table.Tr key={path}>
              <Table.Td>
                <Code>{path}</Code>
              </Table.Td>
              <Table.Td className="wrap">{old ?? '–'}</Table.Td>
              <Table.Td className="wrap">{young ?? '–'}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

const SHOWN = 20;

/** What a trial says would be done, as the audit trail would have it. */
export function Effects({ effects }: { effects: readonly Schemas['Effect'][] }) {
  if (effects.length === 0) return <Text size="sm">{t.common.confirm.noEffects}</Text>;
  return (
    <List size="sm" className="wrap">
      {effects.slice(0, SHOWN).map((effect, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the list is made once and never reordered
        <List.Item key={index}>
          <Code>{effect.action}</Code> {effect.target}
          {effect.before != null && effect.after != null && changesBetween(effect.before, effect.after).length > 0 && (
            <Changes before={effect.before} after={effect.after} />
          )}
        </List.Item>
      ))}
      {effects.length > SHOWN && <List.Item>{t.common.confirm.more(number(effects.length - SHOWN))}</List.Item>}
    </List>
  );
}
