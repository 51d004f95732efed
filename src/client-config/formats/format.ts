/** A path of keys, from the outermost on. */
export type KeyPath = readonly string[];

/** A format of configuration files. Whatever it does not change in a text stays as it is, comments too. */
export interface Format {
  /** @throws BrokenTextError */
  parse(text: string): unknown;
  /** Sets one value. Missing maps above it are made. @param replaces whether there is a value already */
  set(text: string, path: KeyPath, value: unknown, replaces: boolean): string;
  /** Writes a text with that one value. */
  print(path: KeyPath, value: unknown): string;
}

/** A text that is not of its format. */
export class BrokenTextError extends Error {
  /** Both count from 1. */
  readonly line: number;
  readonly column: number;

  constructor(problem: string, at: { readonly line: number; readonly column: number }) {
    super(problem);
    this.line = at.line;
    this.column = at.column;
  }
}

/** `{a: {b: value}}` for the path `a`, `b`. */
export function nest(path: KeyPath, value: unknown): unknown {
  return path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
}

/** How lines of a text end. */
export function lineEndOf(text: string): '\r\n' | '\n' {
  return text.includes('\r\n') ? '\r\n' : '\n';
}
