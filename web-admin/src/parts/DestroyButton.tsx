import { Button, type ButtonProps } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type ComponentProps, useId } from 'react';
import { ConfirmDestroy } from './ConfirmDestroy';

type Props = Omit<ComponentProps<typeof ConfirmDestroy>, 'opened' | 'onClose'> & {
  /** What the button says to screen readers, where its verb alone says too little. */
  label?: string;
  size?: ButtonProps['size'];
};

/** A button whose act is shown and confirmed first. */
export function DestroyButton({ label, size, ...confirm }: Props) {
  const [opened, is] = useDisclosure(false);
  const id = useId();
  return (
    <>
      <Button
        id={id}
        size={size}
        color="red"
        variant="outline"
        className="destroy"
        aria-label={label}
        onClick={is.open}
      >
        {confirm.verb}
      </Button>
      <ConfirmDestroy {...confirm} opened={opened} onClose={is.close} />
    </>
  );
}
