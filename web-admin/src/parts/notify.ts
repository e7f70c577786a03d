import { notifications } from '@mantine/notifications';

/** Tells, for a few seconds and to screen readers too, that something was done. */
export const told = (message: string) => notifications.show({ message, color: 'green', autoClose: 5000 });
