/** Lines that are shown; of a longer installation, the last ones. */
const MOST_LINES = 50;
const DOWNLOAD = /^(downloading [^:]+): /;

/** Adds a message of an installation to those before. Each file has one line, which says how much of it there is. */
export function addProgress(lines: readonly string[], message: string): readonly string[] {
  const start = DOWNLOAD.exec(message)?.[1];
  const known = start === undefined ? -1 : lines.findIndex((line) => line.startsWith(`${start}: `));
  return known === -1 ? [...lines, message].slice(-MOST_LINES) : lines.with(known, message);
}

/** What goes on now, without figures that change many times a second: screen readers read it aloud. */
export function stepOf(lines: readonly string[]): string {
  const last = lines.at(-1) ?? '';
  return DOWNLOAD.exec(last)?.[1] ?? last;
}
