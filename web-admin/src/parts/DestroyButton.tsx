import { Button, type ButtonProps } from '@mantine/core';
import { type ComponentProps, useState } from 'react';
import { ConfirmDestroy } from './ConfirmDestroy';

interface Props extends Omit<ComponentProps<typeof ConfirmDestroy>, 'opened' | 'onClose'> {
  /** What the button that asks says; without it what the one that acts does. */
  label?: string;
  /** For screen readers, where the same button stands in each row. */
  of?: string;
  size?: ButtonProps['size'];
}

/** A button, and what it asks before it destroys anything. */
export function DestroyButton({ label, of, size, ...confirm }: Props) {
  const [asked, setAsked] = useState(false);
  return (
    <>
      <Button
        color="red"
        variant="outline"
        className="destroy"
        size={size}
        aria-label={of}
        onClick={() => setAsked(true)}
      >
        {label ?? confirm.verb}
      </Button>
      <ConfirmDestroy {...confirm} opened={asked} onClose={() => setAsked(false)} />
    </>
  );
}
