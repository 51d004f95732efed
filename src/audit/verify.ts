import { createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import { type AuditLine, type Chain, FIRST_LINK, type Link } from './chain.ts';
import { earlierFile, earlierFiles } from './files.ts';

/** Characters that a line has at most. */
const LONGEST_LINE = 8 * 2 ** 20;

/** What a look through a log found. */
export interface Verdict {
  readonly files: number;
  readonly lines: number;
  /** First line that is there, and last good one. */
  readonly first?: Link | undefined;
  readonly last?: Link | undefined;
  /** First place where it is not as it was written. */
  readonly broken: { readonly file: string; readonly line: number; readonly why: string } | undefined;
  /** Whether a line has the hash that was asked for. */
  readonly holds: boolean;
}

export interface VerifyOptions {
  readonly chain: Chain;
  /** Hash of a line that must be there. */
  readonly holds?: string | undefined;
  /** Whether the files are a part of a log, which begins where they begin. */
  readonly isPart?: boolean;
}

/** Files of a log, the oldest first. */
export async function filesOf(path: string): Promise<string[]> {
  const earlier = (await earlierFiles(path)).toReversed().map((number) => earlierFile(path, number));
  // After a crash in the middle of a rotation, there are earlier ones alone.
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  return isThere || earlier.length === 0 ? [...earlier, path] : earlier;
}

/** Looks whether files hold all lines as they were written, the oldest file first, until the first broken place. */
export async function verifyFiles(files: readonly string[], options: VerifyOptions): Promise<Verdict> {
  const look = new Look(options);
  let broken: Verdict['broken'];
  let read = 0;
  for (const file of files) {
    read += 1;
    let number = 0;
    for await (const { text, isWhole } of linesOf(file)) {
      number += 1;
      const why = look.take(text, isWhole);
      if (why === undefined) continue;
      broken = { file, line: number, why };
      break;
    }
    if (broken) break;
  }
  const why = broken ? undefined : look.missingBegin();
  if (why !== undefined) broken = { file: files[0] ?? '', line: 1, why };
  const { lines, first, last, isFound: holds } = look;
  return { files: read, lines, first, last, holds, broken };
}

class Look {
  lines = 0;
  first: Link | undefined;
  last: Link | undefined;
  isFound: boolean;
  readonly #options: VerifyOptions;
  /** Last line that the log says to have removed. */
  #removedThrough = 0;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.isFound = options.holds === undefined;
  }

  /** Takes the next line. Returns why it is not as it was written. */
  take(text: string, isWhole: boolean): string | undefined {
    const { chain, holds } = this.#options;
    if (!isWhole) return 'the line is cut off: a server that starts says so and goes on after it';
    const line = chain.read(text);
    if (!line) return 'this is no line of an audit log';
    const why = this.#compare(line);
    if (why !== undefined) return why;
    this.lines += 1;
    this.first ??= line;
    this.last = line;
    if (line.hash === holds) this.isFound = true;
    const { event, removes_through: through } = line.fields;
    if (event === 'rotate' && typeof through === 'number') this.#removedThrough = through;
    return undefined;
  }

  /** Returns why the log does not begin where it should. */
  missingBegin(): string | undefined {
    const before = (this.first?.seq ?? 1) - 1;
    if (this.#options.isPart || before <= this.#removedThrough) return undefined;
    return `lines ${this.#removedThrough + 1} to ${before} are missing, and the log does not say that they were removed`;
  }

  #compare(line: AuditLine): string | undefined {
    const before = this.last ?? (line.seq === 1 ? FIRST_LINK : undefined);
    const expected = (before?.seq ?? line.seq - 1) + 1;
    if (!line.isGenuine) {
      return this.#options.chain.isKeyed
        ? 'its hash is not that of its text with this key: it was changed, or written with another key'
        : 'its hash is not that of its text: it was changed, or written with a key (GLOVEBOX_AUDIT_LOG_KEY_FILE)';
    }
    if (line.seq > expected) return `lines ${expected} to ${line.seq - 1} are missing before it`;
    if (line.seq < expected) return `it is line ${line.seq} of the log, in the place of line ${expected}`;
    if (before && line.previous !== before.hash) return 'it does not follow the line before it';
    return undefined;
  }
}

async function* linesOf(file: string): AsyncGenerator<{ readonly text: string; readonly isWhole: boolean }> {
  let rest = '';
  const stream: AsyncIterable<string> = createReadStream(file, 'utf8');
  for await (const piece of stream) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) yield { text, isWhole: true };
    if (rest.length > LONGEST_LINE) break;
  }
  if (rest !== '') yield { text: rest, isWhole: false };
}
