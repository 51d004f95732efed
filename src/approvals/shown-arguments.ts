/** An object of JSON. */
export type JsonObject = { readonly [name: string]: unknown };

/** Characters of the arguments that a person is shown. */
const LIMIT = 2048;
/** Characters of the name of a server or a tool, before unseen ones are written out. */
const LONGEST_NAME = 100;
/** Arguments that are shown if not all can be, and characters of the name of each. */
const MOST_ARGUMENTS = 16;
const LONGEST_ARGUMENT_NAME = 48;
/** Room for the note of what is left out of a value, in characters. */
const NOTE = 32;

/** All that has no shape of its own, or could change how the text around it is read. */
const UNSEEN =
  /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Variation_Selector}]|(?! )\p{Zs}/gu;

/** Arguments as a person is shown them. */
interface ShownArguments {
  readonly text: string;
  readonly isCut: boolean;
  /** Size of all of them as JSON, in bytes. */
  readonly bytes: number;
}

/** One argument, of which `text` is no more than can be shown. */
interface Part {
  readonly name: string;
  readonly text: string;
  /** Characters of the whole value. */
  readonly length: number;
}

/**
 * Writes arguments as JSON in which every character can be seen. Of arguments that are too long, each is shown with its
 * beginning, so that no long one hides another. Undefined if they are nested too deeply to be written.
 */
export function showArguments(values: JsonObject): ShownArguments | undefined {
  let whole: string;
  try {
    whole = JSON.stringify(values);
  } catch {
    return undefined;
  }
  const bytes = Buffer.byteLength(whole);
  // What is written out is only longer.
  const text = whole.length <= LIMIT ? writeOut(whole) : undefined;
  if (text !== undefined && text.length <= LIMIT) return { text, isCut: false, bytes };
  return { text: showParts(values), isCut: true, bytes };
}

/** A name as a person is shown it. */
export function shortName(name: string): string {
  return `${writeOut(name.slice(0, LONGEST_NAME))}${name.length > LONGEST_NAME ? '…' : ''}`;
}

function showParts(values: JsonObject): string {
  const names = Object.keys(values);
  const parts = names.slice(0, MOST_ARGUMENTS).map((name) => toPart(name, values[name]));
  const rest = names.length - parts.length;
  const end = rest > 0 ? `, … ${rest} more arguments` : '';
  const fixed = parts.reduce((sum, { name }) => sum + name.length + 4, end.length + 2);
  const room = shareOut(
    parts.map(({ length }) => length),
    LIMIT - fixed,
  );
  const shown = parts.map((part, index) => `${part.name}: ${cut(part, room[index] ?? 0)}`);
  return `{${shown.join(', ')}${end}}`;
}

function toPart(name: string, value: unknown): Part {
  const json = JSON.stringify(value) ?? 'null';
  const text = writeOut(json.slice(0, LIMIT));
  const length = text.length + Math.max(0, json.length - LIMIT);
  const shownName = writeOut(JSON.stringify(name.slice(0, LONGEST_ARGUMENT_NAME)));
  const isCut = name.length > LONGEST_ARGUMENT_NAME || shownName.length > LONGEST_ARGUMENT_NAME;
  return { name: isCut ? `${shownName.slice(0, LONGEST_ARGUMENT_NAME)}…` : shownName, text, length };
}

/** Cuts a value, and says how much of it is left out. */
function cut({ text, length }: Part, most: number): string {
  if (length <= most) return text;
  // Not in the middle of what is written out.
  const kept = text.slice(0, Math.max(0, most - NOTE)).replace(/\\(u[0-9a-f]{0,3})?$/, '');
  return `${kept.toWellFormed()}… ${length - kept.length} more characters`;
}

/** Gives each as much as it wants, and those that want too much the same. */
function shareOut(wanted: readonly number[], total: number): number[] {
  let left = Math.max(0, total);
  const ascending = wanted.map((length, index) => ({ length, index })).toSorted((a, b) => a.length - b.length);
  const given: number[] = [];
  for (const [position, { length, index }] of ascending.entries()) {
    const share = Math.min(length, Math.floor(left / (ascending.length - position)));
    given[index] = share;
    left -= share;
  }
  return given;
}

function writeOut(text: string): string {
  return text.replace(UNSEEN, (character) => {
    const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
  });
}
