import { MantineProvider } from '@mantine/core';
import { cleanup, fireEvent, render, screen, within } from '@testing-library/react';
import { afterEach, describe, expect, it } from 'vitest';
import { BarChart, type Point } from './BarChart';

const points: Point[] = [
  { at: '2026-01-05T10:00:00Z', good: 4, bad: 0 },
  { at: '2026-01-05T11:00:00Z', good: 30, bad: 12 },
  { at: '2026-01-05T12:00:00Z', good: 5, bad: 1 },
];

function show(of: Point[]) {
  render(
    <MantineProvider>
      <BarChart title="Logins" detail="Logins by the hour." good="accepted" bad="refused" points={of} hours={24} />
    </MantineProvider>,
  );
}

afterEach(cleanup);

describe('BarChart', () => {
  it('says in words what it draws', () => {
    show(points);
    const chart = screen.getByRole('img', { name: /^Logins Logins by the hour\..* The most: 42, at / });
    expect(chart).toBeTruthy();
    expect(screen.getByText('39 accepted')).toBeTruthy();
    expect(screen.getByText('13 refused')).toBeTruthy();
  });

  it('has its figures as a table, the latest first', async () => {
    show(points);
    const summary = screen.getByText('As a table');
    const details = summary.closest('details');
    if (!details) throw new Error('no details');
    details.open = true;
    fireEvent(details, new Event('toggle'));
    const rows = within(await screen.findByRole('table', { name: 'Logins' })).getAllByRole('row');
    expect(rows.map((row) => [...row.querySelectorAll('td')].slice(1).map((cell) => cell.textContent))).toEqual([
      [],
      ['5', '1'],
      ['30', '12'],
      ['4', '0'],
    ]);
  });

  it('says that nothing happened', () => {
    show(points.map((point) => ({ ...point, good: 0, bad: 0 })));
    expect(screen.getByRole('img', { name: /Nothing in this time\.$/ })).toBeTruthy();
  });
});
