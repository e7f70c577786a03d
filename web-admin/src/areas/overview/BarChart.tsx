import { useElementSize } from '@mantine/hooks';
import { type PointerEvent, useId, useState } from 'react';
import { number, t } from '@/text';
import { ChartTable } from './ChartTable';
import styles from './overview.module.css';
import { labelledOf, ticksOf } from './scale';
import { instantOf, labelOf, middaysOf } from './times';

const words = t.overview;

export interface Point {
  at: string;
  good: number;
  bad: number;
}

interface Props {
  title: string;
  detail: string;
  good: string;
  bad: string;
  points: readonly Point[];
  hours: number;
}

const HEIGHT = 190;
const TOP = 8;
const BOTTOM = 22;
// What a time of the day takes below the axis.
const LABEL = 80;

/** Two counts over time, one upon the other; the figures are in its legend, in its description and in its table. */
export function BarChart({ title, detail, good, bad, points, hours }: Props) {
  const id = useId();
  const { ref, width } = useElementSize<HTMLDivElement>();
  const [pointed, setPointed] = useState<number | null>(null);
  const most = Math.max(0, ...points.map((point) => point.good + point.bad));
  const lines = ticksOf(most);
  const top = lines.at(-1) ?? 1;
  const left = 12 + number(top).length * 7;
  const inner = Math.max(0, width - left - 4);
  const step = points.length ? inner / points.length : 0;
  const y = (value: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const x = (place: number) => left + place * step;
  const bar = Math.max(1, step - Math.min(3, step * 0.25));
  const highest = points.find((point) => point.good + point.bad === most);
  const perStep = hours <= 2 ? words.perMinute : words.perHour;
  const description =
    most === 0 || !highest
      ? words.chartNothing(detail)
      : words.chart(detail, perStep, number(most), instantOf(highest.at));
  const here = pointed === null ? undefined : points[pointed];
  const labelled =
    hours > 24 ? middaysOf(points.map((point) => point.at)) : labelledOf(points.length, Math.floor(inner / LABEL));
  const sum = (of: 'good' | 'bad') => points.reduce((all, point) => all + point[of], 0);

  const move = (event: PointerEvent<SVGSVGElement>) => {
    const place = Math.floor((event.clientX - event.currentTarget.getBoundingClientRect().left - left) / step);
    setPointed(place >= 0 && place < points.length ? place : null);
  };

  return (
    <figure ref={ref} style={{ margin: 0 }}>
      <figcaption className={styles.legend}>
        <span>
          <i className={styles.good} />
          {number(here ? here.good : sum('good'))} {good}
        </span>
        <span>
          <i className={styles.bad} />
          {number(here ? here.bad : sum('bad'))} {bad}
        </span>
        {here && <span>{instantOf(here.at)}</span>}
      </figcaption>
      <svg
        className={styles.chart}
        role="img"
        aria-labelledby={`${id}-title ${id}-detail`}
        viewBox={`0 0 ${Math.max(1, width)} ${HEIGHT}`}
        onPointerMove={move}
        onPointerLeave={() => setPointed(null)}
      >
        <title id={`${id}-title`}>{title}</title>
        <desc id={`${id}-detail`}>{description}</desc>
        {lines.map((line) => (
          <g key={line}>
            <line className={styles.line} x1={left} x2={width - 4} y1={y(line)} y2={y(line)} />
            <text className={styles.word} x={left - 6} y={y(line) + 4} textAnchor="end">
              {number(line)}
            </text>
          </g>
        ))}
        {pointed !== null && (
          <rect className={styles.pointed} x={x(pointed)} y={TOP} width={step} height={HEIGHT - TOP - BOTTOM} />
        )}
        {width > 0 &&
          points.map((point, place) => (
            <g key={point.at} className={place === points.length - 1 ? styles.underway : undefined}>
              {point.good > 0 && (
                <rect
                  className={styles.good}
                  x={x(place)}
                  y={y(point.good)}
                  width={bar}
                  height={y(0) - y(point.good)}
                />
              )}
              {point.bad > 0 && (
                <rect
                  className={styles.bad}
                  x={x(place)}
                  y={y(point.good + point.bad)}
                  width={bar}
                  height={Math.max(1, y(point.good) - y(point.good + point.bad) - (point.good > 0 ? 1 : 0))}
                />
              )}
            </g>
          ))}
        {labelled.map((place) => {
          const point = points[place];
          const last = place === points.length - 1;
          return (
            point && (
              <text
                key={point.at}
                className={styles.word}
                x={last ? width - 4 : x(place) + bar / 2}
                y={HEIGHT - 6}
                textAnchor={last ? 'end' : 'middle'}
              >
                {labelOf(point.at, hours)}
              </text>
            )
          );
        })}
        {most === 0 && (
          <text className={styles.word} x={left + inner / 2} y={HEIGHT / 2} textAnchor="middle">
            {words.nothingYet}
          </text>
        )}
      </svg>
      <ChartTable title={title} good={good} bad={bad} points={points} />
    </figure>
  );
}
