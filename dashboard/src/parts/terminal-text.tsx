import { useMemo } from 'preact/hooks';
import { formatBytes } from '../lib/format.ts';
import { shorten, toSpans } from '../lib/terminal.ts';

interface Props {
  readonly text: string;
  readonly label: string;
  readonly isError?: boolean;
  /** Characters that the text has had before those that are here. */
  readonly dropped?: number;
}

/** Output of a program: text, whatever it is. */
export function TerminalText({ text, label, isError = false, dropped = 0 }: Props) {
  const { head, left, tail } = useMemo(() => shorten(text), [text]);
  return (
    // biome-ignore lint/a11y/useSemanticElements: it is no field
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
    <pre class={isError ? 'terminal stderr' : 'terminal'} dir="ltr" tabIndex={0} role="group" aria-label={label}>
      {dropped > 0 && <LeftOut count={dropped} />}
      <Spans text={head} />
      {left > 0 && <LeftOut count={left} />}
      {tail !== '' && <Spans text={tail} />}
    </pre>
  );
}

function LeftOut({ count }: { readonly count: number }) {
  return (
    <span class="left-out">
      … {formatBytes(count)} of text are not shown here …{'\n'}
    </span>
  );
}

function Spans({ text }: { readonly text: string }) {
  const spans = useMemo(() => toSpans(text), [text]);
  return (
    <>
      {spans.map((span, at) =>
        span.classes === '' ? (
          span.text
        ) : (
          <span key={at} class={span.classes}>
            {span.text}
          </span>
        ),
      )}
    </>
  );
}
