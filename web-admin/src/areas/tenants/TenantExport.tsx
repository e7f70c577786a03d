import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { api, take } from '@/client/api';
import { downloadBlob } from '@/parts/download';
import { Icon } from '@/parts/Icon';
import { told } from '@/parts/notify';
import { octetsOf } from '@/parts/Octets';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';

const words = t.tenants;

async function whole(body: ReadableStream<Uint8Array>, tell: (octets: number) => void): Promise<Blob> {
  const pieces: BlobPart[] = [];
  let octets = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(pieces, { type: 'application/x-tar' });
    pieces.push(value as Uint8Array<ArrayBuffer>);
    octets += value.byteLength;
    tell(octets);
  }
}

/** Everything that a tenant owns but its mail, which a sign-in may not read. */
export function TenantExport({ slug }: { slug: string }) {
  const [octets, setOctets] = useState(0);
  const run = useMutation({
    mutationFn: async () => {
      setOctets(0);
      const body = await take(api.GET('/v1/tenants/{slug}/export', { params: { path: { slug } }, parseAs: 'stream' }));
      downloadBlob(`${slug}.tar`, await whole(body as ReadableStream<Uint8Array>, setOctets));
    },
    onSuccess: () => told(words.exported),
  });
  return (
    <>
      <Button
        variant="default"
        leftSection={<Icon name="download" size={16} />}
        title={words.exportDetail}
        disabled={run.isPending}
        onClick={() => run.mutate()}
      >
        {run.isPending ? words.exporting(octetsOf(octets)) : words.export}
      </Button>
      <ProblemAlert error={run.error} />
    </>
  );
}
