import { describe, expect, it } from 'vitest';
import { labelledOf, ticksOf } from './scale';

describe('ticksOf', () => {
  it.each([
    [0, [0, 1]],
    [1, [0, 1]],
    [3, [0, 1, 2, 3]],
    [7, [0, 2, 4, 6, 8]],
    [40, [0, 10, 20, 30, 40]],
    [41, [0, 20, 40, 60]],
    [1234, [0, 500, 1000, 1500]],
  ])('of %d', (most, lines) => expect(ticksOf(most)).toEqual(lines));

  it('has few lines and room for every value', () => {
    for (let most = 1; most < 100_000; most = Math.ceil(most * 1.3)) {
      const lines = ticksOf(most);
      expect(lines.length).toBeLessThanOrEqual(5);
      expect(lines.at(-1)).toBeGreaterThanOrEqual(most);
      expect(lines.every(Number.isInteger)).toBe(true);
    }
  });
});

describe('labelledOf', () => {
  it('labels the last place, and no more than there is room for', () => {
    expect(labelledOf(5, 10)).toEqual([0, 1, 2, 3, 4]);
    expect(labelledOf(25, 5)).toEqual([4, 9, 14, 19, 24]);
    expect(labelledOf(168, 4)).toHaveLength(4);
    expect(labelledOf(0, 4)).toEqual([]);
  });
});
