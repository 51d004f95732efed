import { GloveboxError } from '../../errors.ts';

/** The command among words: as with Docker, a first `--` says that all that follows is the command. */
export function readWords(words: readonly string[]): readonly string[] {
  return words[0] === '--' ? words.slice(1) : words;
}

/** Reads what `--env` was given: `NAME=VALUE`, once for each variable. */
export function readVariables(texts: readonly string[] | undefined): Readonly<Record<string, string>> | undefined {
  return texts && Object.fromEntries(texts.map(readVariable));
}

function readVariable(text: string): [name: string, value: string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new GloveboxError('invalid_input', `${JSON.stringify(text.slice(0, 64))} sets no variable.`, {
    hint: 'Write its name and its value: --env LANG=C',
  });
}
