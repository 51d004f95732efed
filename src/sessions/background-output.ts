import { GloveboxError } from '../errors.ts';
import { LineStates } from '../execution/line-states.ts';
import { leftOutMark, withoutPartialEnd } from '../execution/output-capture.ts';
import { outputPath } from '../execution/output-path.ts';
import type { BackgroundStatus, CutStream, ExecutionResult, TextStream, Truncated } from '../execution/result.ts';

/** Number of bytes of both text streams that were read already. */
export interface StreamOffsets {
  readonly stdout: number;
  readonly stderr: number;
}

/** Output from given offsets, with each line in its last state. */
export interface NewOutput {
  readonly stdout: string;
  readonly stderr: string;
  /** Rest of each stream that is not included. */
  readonly truncated?: Truncated | undefined;
  /** Offsets for the next reading. */
  readonly next: StreamOffsets;
}

/** An execution as far as is known: of one that runs, nothing is. */
type Known = Pick<ExecutionResult, 'executionId' | 'stdout' | 'stderr' | 'truncated'> & {
  readonly status: BackgroundStatus;
};

/** Requested part of a stream. */
interface Wanted {
  readonly name: TextStream;
  readonly from: number;
  readonly most: number;
}

/** Access to the files of a session that hold output. */
interface OutputFiles {
  read(path: string, range: { offset: number; length: number }, most: number): Promise<{ readonly content: Buffer }>;
}

/** Part of a stream. */
interface Part {
  readonly text: string;
  /** Offset of the next part. */
  readonly next: number;
}

/** Most pieces of a stream to read for one part, if each reduces to little text. */
const MOST_PIECES = 16;

/** Reads new output of both streams. @param most limit of each stream in bytes */
export async function readNewOutput(
  files: OutputFiles,
  execution: Known,
  { stdout: fromStdout = 0, stderr: fromStderr = 0 }: Partial<StreamOffsets>,
  most: number,
): Promise<NewOutput> {
  const stdout = await readStates(files, { name: 'stdout', from: fromStdout, most }, execution);
  const stderr = await readStates(files, { name: 'stderr', from: fromStderr, most }, execution);
  const rest = {
    stdout: restOf(execution.truncated?.stdout, stdout.next),
    stderr: restOf(execution.truncated?.stderr, stderr.next),
  };
  const truncated = {
    ...(rest.stdout ? { stdout: rest.stdout } : {}),
    ...(rest.stderr ? { stderr: rest.stderr } : {}),
  };
  return {
    stdout: stdout.text,
    stderr: stderr.text,
    ...(rest.stdout || rest.stderr ? { truncated } : {}),
    next: { stdout: stdout.next, stderr: stderr.next },
  };
}

/** Reads a stream from an offset, with each line in its last state. A part may represent more bytes than it contains. */
export async function readStates(files: OutputFiles, wanted: Wanted, execution: Known): Promise<Part> {
  const states = new LineStates();
  const settled: Buffer[] = [];
  let { from } = wanted;
  let bytes = 0;
  for (let piece = 0; piece < MOST_PIECES; piece += 1) {
    const { text, next } = await readStream(files, { ...wanted, from }, execution);
    for (const added of states.add(Buffer.from(text))) {
      settled.push(added);
      bytes += added.length;
    }
    const mayBeLast = next - from < wanted.most - 3;
    from = next;
    if (mayBeLast || bytes + states.waiting > wanted.most / 2) break;
  }
  return { text: Buffer.concat([...settled, states.finish()]).toString('utf8'), next: from };
}

/** Reads a stream from an offset: complete characters from its file, then output that came after the file was full. */
export async function readStream(files: OutputFiles, { name, from, most }: Wanted, execution: Known): Promise<Part> {
  const bytes = await readFile(files, outputPath(execution.executionId, name), from, most);
  // All output of an execution that an earlier control plane began is in its file, which can be read again later.
  if (!bytes && execution.truncated?.[name] && execution[name] === '') return { text: '', next: from };
  return toPart(bytes ?? Buffer.alloc(0), { name, from, most }, execution);
}

function toPart(bytes: Buffer, { name, from, most }: Wanted, execution: Known): Part {
  const hasEnded = execution.status !== 'running' && execution.status !== 'queued';
  const isLast = hasEnded && bytes.length < most;
  const whole = isLast ? bytes : withoutPartialEnd(bytes);
  const part = { text: whole.toString('utf8'), next: from + whole.length };
  if (!isLast) return part;
  const rest = afterFile(execution[name], execution.truncated?.[name], part.next);
  return { text: `${part.text}${rest.text}`, next: rest.next };
}

/** Reads part of a file. Empty if there is no file; undefined if it cannot be read now. */
async function readFile(files: OutputFiles, path: string, offset: number, length: number): Promise<Buffer | undefined> {
  try {
    return (await files.read(path, { offset, length }, length)).content;
  } catch (error) {
    if (!(error instanceof GloveboxError)) throw error;
    return error.code === 'file_not_found' ? Buffer.alloc(0) : undefined;
  }
}

/** Finds the part of a stream beyond its file, in the head and tail that the control plane has. */
function afterFile(text: string, cut: CutStream | undefined, from: number): Part {
  const mark = cut ? leftOutMark(cut.leftOutBytes) : '';
  const at = cut ? text.indexOf(mark) : text.length;
  const head = Buffer.from(text.slice(0, at));
  const tail = Buffer.from(text.slice(at + mark.length));
  const total = cut?.totalBytes ?? head.length;
  // Replacement characters differ in length from the bytes that they replace. Exact offsets are only possible in the file.
  if (from >= total || (!cut && from > 0 && text.includes('\uFFFD'))) return { text: '', next: from };
  const start = total - tail.length;
  if (!cut || from < head.length) return { text: `${head.subarray(from)}${mark}${tail}`, next: total };
  if (from < start) return { text: `${leftOutMark(start - from)}${tail}`, next: total };
  return { text: tail.subarray(from - start).toString('utf8'), next: total };
}

/** Describes the rest of a stream after the part that was read. */
function restOf(cut: CutStream | undefined, next: number): CutStream | undefined {
  return cut && next < cut.totalBytes ? { ...cut, leftOutBytes: cut.totalBytes - next } : undefined;
}
