import { Button } from '@mantine/core';
import { useEffect, useState } from 'react';
import { t } from '@/text';
import { Icon } from './Icon';

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS there is no clipboard; the older way still works.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

interface Props {
  text: string;
  label?: string;
  /** What is copied, for who does not see it beside. */
  of?: string;
}

export function CopyButton({ text, label = t.common.copy, of }: Props) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 3000);
    return () => clearTimeout(timer);
  }, [copied]);
  const words = copied ? t.common.copied : label;
  return (
    <Button
      size="xs"
      variant="default"
      leftSection={<Icon name={copied ? 'check' : 'copy'} size={14} />}
      aria-label={of ? `${words}: ${of}` : undefined}
      onClick={async () => setCopied(await copy(text))}
    >
      {words}
    </Button>
  );
}
