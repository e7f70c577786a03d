import { Button, Modal } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import type { ReactNode } from 'react';
import { Icon } from './Icon';

interface Props {
  /** What the button and the dialogue are called. */
  label: string;
  size?: string;
  children: (close: () => void) => ReactNode;
}

/** A button that opens a form in a dialogue. */
export function FormModal({ label, size = 'lg', children }: Props) {
  const [opened, is] = useDisclosure(false);
  return (
    <>
      <Button leftSection={<Icon name="plus" size={16} />} onClick={is.open}>
        {label}
      </Button>
      <Modal opened={opened} onClose={is.close} title={label} size={size}>
        {children(is.close)}
      </Modal>
    </>
  );
}
