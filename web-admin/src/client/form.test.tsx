import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { cleanup, render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, expect, test } from 'vitest';
import { FormFoot } from '@/parts/FormFoot';
import { NumberField, OctetsField } from '@/parts/fields';
import { useForm } from './form';
import { Problem } from './problem';

afterEach(cleanup);

interface Body {
  quota?: { octets?: number | null; messages?: number | null };
}

function Quota({ base, send }: { base: Body; send: (body: Body) => Promise<unknown> }) {
  const form = useForm<Body>({ base, send });
  return (
    <form onSubmit={form.submit}>
      <OctetsField field={form.field('/quota/octets')} label="Octets" />
      <NumberField field={form.field('/quota/messages')} label="Messages" />
      <FormFoot form={form} />
    </form>
  );
}

const page = (base: Body, send: (body: Body) => Promise<unknown>) => (
  <MantineProvider>
    <QueryClientProvider client={new QueryClient()}>
      <Quota base={base} send={send} />
    </QueryClientProvider>
  </MantineProvider>
);

test('only what was typed is sent, in octets', async () => {
  const sent: Body[] = [];
  render(page({ quota: { octets: 1e9, messages: 7 } }, async (body) => sent.push(body)));
  const octets = screen.getByLabelText('Octets');
  await userEvent.clear(octets);
  await userEvent.type(octets, '2.5');
  await userEvent.click(screen.getByRole('button', { name: 'Save' }));
  await waitFor(() => expect(sent).toEqual([{ quota: { octets: 2_500_000_000 } }]));
});

test('an error stands at its field, and one of no field above the button', async () => {
  render(
    page({}, async () => {
      throw new Problem({
        type: '/problems/invalid',
        status: 422,
        title: 'Invalid',
        errors: [
          { pointer: '/quota/messages', code: 'range', detail: 'is too many' },
          { pointer: '/elsewhere', code: 'x', detail: 'is odd' },
        ],
      });
    }),
  );
  await userEvent.type(screen.getByLabelText('Messages'), '9');
  await userEvent.click(screen.getByRole('button', { name: 'Save' }));
  await screen.findByText('/elsewhere: is odd');
  expect(screen.getByLabelText('Messages').getAttribute('aria-invalid')).toBe('true');
});

test('a newer version comes below what was typed', async () => {
  const send = async () => undefined;
  const { rerender } = render(page({ quota: { octets: 1e9, messages: 7 } }, send));
  const messages = screen.getByLabelText<HTMLInputElement>('Messages');
  await userEvent.clear(messages);
  await userEvent.type(messages, '9');
  rerender(page({ quota: { octets: 3e9, messages: 8 } }, send));
  expect(screen.getByLabelText<HTMLInputElement>('Messages').value).toBe('9');
  expect(screen.getByLabelText<HTMLInputElement>('Octets').value).toBe('3');
});
