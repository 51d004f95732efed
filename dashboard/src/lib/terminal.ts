import Anser from 'anser';
import { visible } from './visible.ts';

/** A run of text in one style. */
export interface Span {
  readonly text: string;
  /** Names of classes: a colour and decorations. */
  readonly classes: string;
}

/** Characters that are shown of one text. A browser lays out more than that only slowly. */
const MOST_SHOWN = 200_000;
/** Changes of style after which the rest has none. */
const MOST_SPANS = 5000;

const COLOURS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
const DECORATIONS = ['bold', 'italic', 'underline', 'strikethrough', 'dim'];

const ESCAPE = '\\u001b';
/** Escape sequences that set no colour: titles and links (OSC, DCS, PM, APC), moves of the cursor, character sets. */
const OTHER_SEQUENCES = new RegExp(
  [
    `${ESCAPE}[\\]P^_X][^\\u0007${ESCAPE}]{0,4096}(?:\\u0007|${ESCAPE}\\\\)?`,
    `${ESCAPE}\\[[0-9;?]*[A-LN-ln-z@\`]`,
    `${ESCAPE}[()][A-Z0-9]`,
    `${ESCAPE}[=>78cDEHMNOZ]`,
  ].join('|'),
  'g',
);

/** Cuts the middle out of a text that is too long to show. */
export function shorten(
  text: string,
  most = MOST_SHOWN,
): { readonly head: string; readonly left: number; readonly tail: string } {
  if (text.length <= most) return { head: text, left: 0, tail: '' };
  const half = Math.floor(most / 2);
  return { head: text.slice(0, half), left: text.length - 2 * half, tail: text.slice(-half) };
}

/** What a terminal would show of a text: colours, and of each line what was written over its beginning last. */
export function toSpans(text: string): readonly Span[] {
  const lines = text.replace(OTHER_SEQUENCES, '').split('\n').map(lastState).join('\n');
  const parts = Anser.ansiToJson(lines, { json: true, remove_empty: true, use_classes: true });
  const styled = parts.slice(0, MOST_SPANS).map(({ content, fg, decorations }) => ({
    text: visible(content),
    classes: classesOf(fg, decorations),
  }));
  const rest = parts.slice(MOST_SPANS).map(({ content }) => content);
  return rest.length === 0 ? styled : [...styled, { text: visible(rest.join('')), classes: '' }];
}

/** What a line shows after its carriage returns. A pattern for this would take quadratic time. */
function lastState(line: string): string {
  if (!line.includes('\r')) return line;
  const ended = line.replace(/\r+$/, '');
  return ended.slice(ended.lastIndexOf('\r') + 1);
}

/** Of colours the eight that have a readable form in both themes; a background could hide its text. */
function classesOf(foreground: string | null, decorations: readonly string[]): string {
  const colour = COLOURS.find((name) => foreground?.endsWith(`-${name}`));
  return [
    ...(colour ? [`ansi-${colour}`] : []),
    ...DECORATIONS.filter((name) => decorations.includes(name)).map((name) => `ansi-${name}`),
  ].join(' ');
}
