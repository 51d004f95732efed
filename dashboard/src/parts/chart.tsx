interface Props {
  readonly title: string;
  /** Values from the oldest to the newest. */
  readonly values: readonly number[];
  /** Value at the top edge, at least. */
  readonly least: number;
  readonly format?: (value: number) => string;
  /** Most values that are shown. */
  readonly length: number;
}

const WIDTH = 240;
const HEIGHT = 60;

/** A line of the last values. Its newest value is text as well. */
export function Chart({ title, values, least, length, format = String }: Props) {
  const highest = Math.max(least, ...values);
  const x = (at: number) => WIDTH - ((values.length - 1 - at) / Math.max(1, length - 1)) * WIDTH;
  const y = (value: number) => HEIGHT - 1 - (value / highest) * (HEIGHT - 2);
  const points = values.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
  const latest = values.at(-1);
  return (
    <figure class="chart">
      <figcaption>
        {title} <strong>{latest === undefined ? '–' : format(latest)}</strong>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
        {values.length > 1 && (
          <polygon class="area" points={`${x(0).toFixed(1)},${HEIGHT} ${points} ${WIDTH},${HEIGHT}`} />
        )}
        <polyline points={points} />
      </svg>
      <span class="quiet top-value">{format(highest)}</span>
    </figure>
  );
}
