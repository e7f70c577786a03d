/** The lines of an axis of whole numbers from 0: at most five, at round steps, the last one not below `most`. */
export function ticksOf(most: number): number[] {
  const rough = Math.max(1, most) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power);
  const lines = [0];
  while ((lines.at(-1) ?? 0) < most || lines.length < 2) lines.push((lines.at(-1) ?? 0) + step);
  return lines;
}

/** Which of `count` places carry a label where `room` of them fit: evenly apart, counted from the last one. */
export function labelledOf(count: number, room: number): number[] {
  const apart = Math.max(1, Math.ceil(count / Math.max(1, room)));
  const places: number[] = [];
  for (let place = count - 1; place >= 0; place -= apart) places.unshift(place);
  return places;
}
