import { leftOutMark } from '../../execution/output-capture.ts';
import type { SavedExecution } from '../../state/state.ts';
import type { BackgroundRecord } from '../background-records.ts';
import { type RecordedResult, recordedResultSchema } from '../recorded-result.ts';

/** Characters of the code of an execution that other control planes are told. */
const CODE = 100;
/** Characters at the begin and at the end of a stream. */
const TEXT = 500;
/** Last characters of a traceback. */
const TRACEBACK = 2000;
/** Characters of the message of an error. */
const MESSAGE = 500;
/** Files that a result names. */
const FILES = 20;
/** Size of what is told of the access of all executions of a session, in bytes, and of all their results. */
const MOST_BYTES = { access: 12_288, results: 12_288 };

/** What another control plane needs of the executions of a session, the oldest first. The oldest are told less of, if they are many. */
export function toSaved(records: readonly BackgroundRecord[]): SavedExecution[] {
  const left = { ...MOST_BYTES };
  const within = <T extends object>(kind: keyof typeof left, part: T): T | undefined => {
    const bytes = Buffer.byteLength(JSON.stringify(part));
    if (bytes > left[kind]) return undefined;
    left[kind] -= bytes;
    return part;
  };
  const newestFirst = records.toReversed().map((record): SavedExecution => {
    const { result, error, tools, web, code, summary: _, ...head } = record;
    if (result) return { ...head, ...within('results', { result: summarize(result) }) };
    if (error) return { ...head, ...within('results', { error }) };
    const access = within('access', { ...(tools ? { tools } : {}), ...(web ? { web } : {}) });
    return { ...head, ...(code === undefined ? {} : { code: code.slice(0, CODE) }), ...access };
  });
  return newestFirst.reverse();
}

/** The record of an execution of another control plane. A result that this version cannot read is left out. */
export function fromSaved({ result, error, ...head }: SavedExecution): BackgroundRecord {
  const read = result && recordedResultSchema.safeParse(result);
  if (read?.success) return { ...head, result: read.data, summary: true };
  return error ? { ...head, error } : head;
}

/** A result without what may be long. The output of a program in the background is in its files as well. */
function summarize(result: RecordedResult): RecordedResult {
  const {
    results: _,
    tool_calls: __,
    web: ___,
    termination,
    error,
    files,
    stdout,
    stderr,
    truncated,
    ...head
  } = result;
  const [out, err] = [shorten(stdout, truncated?.stdout), shorten(stderr, truncated?.stderr)];
  const cuts = { ...(out.cut ? { stdout: out.cut } : {}), ...(err.cut ? { stderr: err.cut } : {}) };
  return {
    ...head,
    ...(termination ? { termination: { by: termination.by } } : {}),
    ...(error ? { error: shortenError(error) } : {}),
    files: files.slice(0, FILES),
    ...{ stdout: out.text, stderr: err.text },
    ...(out.cut || err.cut ? { truncated: cuts } : {}),
  };
}

type Cut = NonNullable<NonNullable<RecordedResult['truncated']>['stdout']>;

function shorten(text: string, cut: Cut | undefined): { readonly text: string; readonly cut?: Cut | undefined } {
  if (text.length <= 2 * TEXT) return { text, cut };
  const mark = cut ? leftOutMark(cut.bytes) : '';
  const at = cut ? text.indexOf(mark) : text.length;
  const head = text.slice(0, at).slice(0, TEXT);
  const tail = (cut ? text.slice(at + mark.length) : text.slice(TEXT)).slice(-TEXT);
  const total = cut?.total_bytes ?? Buffer.byteLength(text);
  const bytes = Math.max(0, total - Buffer.byteLength(head) - Buffer.byteLength(tail));
  return { text: `${head}${leftOutMark(bytes)}${tail}`, cut: { ...cut, bytes, total_bytes: total } };
}

function shortenError(error: NonNullable<RecordedResult['error']>): NonNullable<RecordedResult['error']> {
  const { value, traceback } = error;
  return { ...error, value: value.slice(0, MESSAGE), traceback: traceback.slice(-TRACEBACK) };
}
