import { z } from 'zod';
import { parseSandboxJson } from '../lib/sandbox-json.ts';
import { currentTrace, type TraceContext } from '../telemetry/trace.ts';

/** Receives reports of the package gateway on its work for a session. */
export interface DownloadListener {
  /** Reports the progress of a download. */
  onDownload(download: Download): void;
  /** Reports what the installer was refused or could not get, as a sentence for people. */
  onProblem(problem: { readonly subject: string; readonly message: string }): void;
  /** Reports a notice of the index on a project, as a sentence for people. */
  onNotice(notice: { readonly subject: string; readonly message: string }): void;
}

export interface Download {
  readonly file: string;
  readonly bytes: number;
  readonly total?: number;
  readonly cached: boolean;
}

/** Passes reports of the package gateway for one session on to listeners. */
export class Downloads implements DownloadListener {
  readonly #listeners = new Map<DownloadListener, TraceContext | undefined>();

  /** Adds a listener until disposed of. What is downloaded meanwhile is a part of what it listens for. */
  listen(listener: DownloadListener): Disposable {
    this.#listeners.set(listener, currentTrace());
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** The installation that is going on. Undefined if there is none, or if nothing is traced. */
  readonly trace = (): TraceContext | undefined => [...this.#listeners.values()].at(-1);

  readonly onDownload: DownloadListener['onDownload'] = (download) => {
    for (const listener of this.#listeners.keys()) listener.onDownload(download);
  };

  readonly onProblem: DownloadListener['onProblem'] = (problem) => {
    for (const listener of this.#listeners.keys()) listener.onProblem(problem);
  };

  readonly onNotice: DownloadListener['onNotice'] = (notice) => {
    for (const listener of this.#listeners.keys()) listener.onNotice(notice);
  };
}

/** Result for one requirement. */
export interface PackageResult {
  name: string;
  /** Requirement as the caller wrote it. */
  requested: string;
  status: 'installed' | 'already_satisfied' | 'failed' | 'not_attempted';
  version?: string | undefined;
  error?: string | undefined;
  /** Note on an installed package. */
  note?: string | undefined;
}

/** Report of the installer on one requirement. */
interface Reported extends PackageResult {
  denied?: string | undefined;
}

const text = z.string().max(20_000);
const packageSchema = z.object({
  name: text,
  requested: text,
  status: z.enum(['installed', 'already_satisfied', 'failed', 'not_attempted']),
  version: text.nullable(),
  error: text.nullable(),
  note: text.nullish(),
  /** Limit of the sandbox that caused the error. The installer of an older image does not send it. */
  denied: text.nullish(),
});
/** Line of the installer in the sandbox (`packages/installer.py`). It is not trusted. */
const message = z.union([
  z.object({ phase: z.enum(['resolving', 'installing']), count: z.number().int().optional() }),
  z.object({ log: text }),
  z.object({ packages: z.array(packageSchema) }),
]);

const MAX_LINE = 1024 * 1024;
const MAX_LOG = 8192;
const MAX_PROBLEMS = 100;
const MAX_NOTICES = 100;

/** Collects progress and results of one installation from the reports of installer and gateway. */
export class InstallLog implements DownloadListener {
  readonly #requirements: readonly { readonly name: string; readonly requirement: string }[];
  readonly #onProgress: (message: string) => void;
  readonly #decoder = new TextDecoder();
  readonly #problems = new Map<string, string>();
  readonly #notices = new Map<string, string>();
  #line = '';
  #log = '';
  /** Last report on each requirement, by its text. The installer reports on some at a time. */
  readonly #reported = new Map<string, Reported | undefined>();

  constructor(
    requirements: readonly { readonly name: string; readonly requirement: string }[],
    onProgress: (message: string) => void,
  ) {
    this.#requirements = requirements;
    this.#onProgress = onProgress;
    for (const { requirement } of requirements) this.#reported.set(requirement, undefined);
  }

  take(chunk: Buffer): void {
    const lines = (this.#line + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#line = (lines.pop() ?? '').slice(0, MAX_LINE);
    for (const line of lines) this.#takeLine(line);
  }

  onDownload({ file, bytes, total, cached }: Download): void {
    const size = total === undefined ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(total)}`;
    this.#onProgress(`downloading ${file}: ${size}${cached ? ' (cached)' : ''}`);
  }

  onProblem({ subject, message }: { subject: string; message: string }): void {
    if (this.#problems.size < MAX_PROBLEMS) this.#problems.set(keyOf(subject), message);
  }

  onNotice({ subject, message }: { subject: string; message: string }): void {
    if (this.#notices.size < MAX_NOTICES) this.#notices.set(keyOf(subject), message);
  }

  /** Notices of the index on installed projects. */
  get notices(): string[] {
    return [...this.#notices.values()];
  }

  /** Returns one result for each requirement. @param reason error for requirements without a report */
  results(reason: string | undefined): PackageResult[] {
    return this.#requirements.map(({ name, requirement }) => {
      const said = this.#reported.get(requirement);
      if (said && said.status !== 'not_attempted') return this.#explained(said, name, requirement);
      const error = reason ?? 'The installer did not report on it.';
      return { name, requested: requirement, status: 'not_attempted', error };
    });
  }

  /** Limit of the sandbox that made packages fail, if any. */
  get denied(): string | undefined {
    return [...this.#reported.values()].find((said) => said?.denied !== undefined)?.denied;
  }

  text(): string {
    return this.#log.trim().toWellFormed();
  }

  #explained(said: Reported, name: string, requested: string): PackageResult {
    // The gateway knows more than the installer: what was denied, and what the operator can do.
    const error =
      said.status === 'failed' ? (this.#problems.get(keyOf(name)) ?? this.#withReasons(said.error)) : undefined;
    return {
      name,
      requested,
      status: said.status,
      ...(said.version ? { version: said.version } : {}),
      ...(error ? { error } : {}),
      ...(said.note ? { note: said.note } : {}),
    };
  }

  /** Adds the gateway's reasons for the packages named in an error of the installer. */
  #withReasons(error: string | undefined): string | undefined {
    if (error === undefined) return undefined;
    const names = new Set(error.match(/\w(?:[\w.-]*\w)?/g)?.map(keyOf));
    const reasons = [...this.#problems].flatMap(([key, message]) =>
      names.has(key) && !error.includes(message) ? message : [],
    );
    return [error, ...reasons].join(' ');
  }

  #takeLine(line: string): void {
    const parsed = message.safeParse(parseJson(line));
    if (!parsed.success) {
      this.#addToLog(line);
    } else if ('phase' in parsed.data) {
      const { phase, count } = parsed.data;
      this.#onProgress(count === undefined ? phase : `${phase} ${count} packages`);
    } else if ('log' in parsed.data) {
      this.#addToLog(parsed.data.log);
    } else {
      for (const said of parsed.data.packages) this.#note(said);
    }
  }

  /** Records a report on a requested package. Others are ignored, because the sandbox is not trusted. */
  #note({ version, error, note, denied, ...said }: z.infer<typeof packageSchema>): void {
    if (!this.#reported.has(said.requested)) return;
    const known = {
      ...{ version: version ?? undefined, error: error ?? undefined },
      ...{ note: note ?? undefined, denied: denied ?? undefined },
    };
    this.#reported.set(said.requested, { ...said, ...known });
  }

  #addToLog(words: string): void {
    this.#log = `${this.#log}${words.trimEnd()}\n`.slice(-MAX_LOG);
  }
}

function parseJson(line: string): unknown {
  try {
    return parseSandboxJson(line);
  } catch {
    return undefined;
  }
}

function keyOf(name: string): string {
  return name.replace(/[-_.]+/g, '-').toLowerCase();
}

function formatBytes(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
