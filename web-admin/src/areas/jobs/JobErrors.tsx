import { Button, Code } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { api, type Schemas, take } from '@/client/api';
import { sortsOf } from '@/client/sorts';
import { download } from '@/parts/download';
import { Icon } from '@/parts/Icon';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { type Column, ResourceList } from '@/parts/ResourceList';
import { Section } from '@/parts/Section';
import { number, t } from '@/text';

const words = t.jobs;

type Refused = Schemas['ImportErrorBody'];

const columns: Column<Refused>[] = [
  { title: words.line, main: true, cell: (item) => number(item.line) },
  { title: words.field, cell: (item) => (item.pointer ? <Code>{item.pointer}</Code> : '–') },
  { title: words.reason, cell: (item) => item.detail },
  { title: words.code, cell: (item) => <Code>{item.code}</Code> },
];

const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;

async function asCsv(id: string): Promise<string> {
  const lines = ['line,pointer,code,detail'];
  let cursor: string | undefined;
  do {
    const params = { path: { id }, query: { limit: 200, cursor } };
    const page = await take(api.GET('/v1/imports/{id}/errors', { params }));
    for (const { line, pointer, code, detail } of page.items) {
      lines.push([String(line), quoted(pointer), quoted(code), quoted(detail)].join(','));
    }
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  return `${lines.join('\r\n')}\r\n`;
}

/** Why lines were refused; read again whenever there are more. */
export function JobErrors({ id, failed }: { id: string; failed: number }) {
  const csv = useMutation({
    mutationFn: () => asCsv(id),
    onSuccess: (text) => download(`${id}-errors.csv`, text, 'text/csv'),
  });
  return (
    <Section
      title={words.errors}
      actions={
        <Button
          size="xs"
          variant="default"
          leftSection={<Icon name="download" size={14} />}
          loading={csv.isPending}
          onClick={() => csv.mutate()}
        >
          {words.errorsDownload}
        </Button>
      }
    >
      <ProblemAlert error={csv.error} />
      <ResourceList
        label={words.errors}
        queryKey={['jobs', id, 'errors', failed]}
        fetch={({ limit, cursor, order }) => {
          const params = { path: { id }, query: { limit, cursor, ...order } };
          return take(api.GET('/v1/imports/{id}/errors', { params }));
        }}
        columns={columns}
        rowKey={(item) => `${item.line} ${item.pointer} ${item.code} ${item.detail}`}
        sorts={sortsOf('/v1/imports/{id}/errors')}
        empty={words.noErrors}
        prefix="errors."
      />
    </Section>
  );
}
