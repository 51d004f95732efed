import { dirname, resolve } from 'node:path';
import { GloveboxError } from '../errors.ts';
import { holdFileLock } from '../lib/file-lock.ts';
import { makeDirectory } from '../lib/make-directory.ts';
import type { Log } from '../log.ts';
import type { Audit, AuditEntry } from './audit.ts';
import { currentLogin } from './current-login.ts';
import { chainWith } from './key.ts';
import { LogFile } from './log-file.ts';

/** Entries that wait while the log cannot be written. Beyond that they are lost, and counted. */
const MOST_WAITING = 10_000;
/** Entries that are written at once. */
const MOST_AT_ONCE = 1000;
/** Time in milliseconds after which writing is tried again. */
const RETRY_MS = 1000;
/** Time in milliseconds in which entries are gathered that need not be written at once: a write costs more than an entry. */
const GATHER_MS = 50;
const BYTES_PER_MIB = 2 ** 20;

/** Settings of an audit log. */
export interface AuditSettings {
  readonly auditLog?: string | undefined;
  readonly auditLogMb: number;
  readonly auditLogFiles: number;
  readonly auditLogKeyFile?: string | undefined;
  readonly auditLogRequired: 'yes' | 'no';
}

export interface AuditFigures {
  /** Entries that wait to be written. */
  readonly waiting: number;
  /** Entries that were lost since the start. */
  readonly lost: number;
  /** Whether it could not be written when that was last tried. */
  readonly isFailing: boolean;
}

interface Waiting {
  readonly fields: object;
  readonly done?: () => void;
}

/** Opens the audit log that the settings name. Undefined if there is none. @throws GloveboxError `invalid_input` */
export async function openAuditLog(settings: AuditSettings, instance: string, log: Log): Promise<AuditLog | undefined> {
  const { auditLog: path } = settings;
  return path === undefined ? undefined : await AuditLog.open(resolve(path), settings, instance, log);
}

/**
 * A log of what callers do: lines of JSON that are chained by their hashes, written in order. While it cannot be written,
 * entries wait in memory; those that are too many are counted, and the log tells their number when it is written again.
 */
export class AuditLog implements Audit, AsyncDisposable {
  readonly #file: LogFile;
  readonly #lock: Disposable;
  readonly #instance: string;
  readonly #isRequired: boolean;
  readonly #log: Log;
  readonly #queue: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #failure: unknown;
  #lost = 0;
  /** Those of the lost that the log has not told of yet. */
  #untold = 0;

  private constructor(file: LogFile, lock: Disposable, instance: string, isRequired: boolean, log: Log) {
    this.#file = file;
    this.#lock = lock;
    this.#instance = instance;
    this.#isRequired = isRequired;
    this.#log = log;
  }

  static async open(path: string, settings: AuditSettings, instance: string, log: Log): Promise<AuditLog> {
    const chain = chainWith(settings.auditLogKeyFile);
    const isRequired = settings.auditLogRequired === 'yes';
    const file = new LogFile({
      ...{ path, chain, isSynced: isRequired, maxFiles: settings.auditLogFiles },
      maxBytes: settings.auditLogMb * BYTES_PER_MIB,
    });
    const lock = takeLock(path);
    try {
      const found = await file.open();
      const audit = new AuditLog(file, lock, instance, isRequired, log);
      if (found.after === 'crash' || found.after === 'broken' || found.cut_bytes) {
        log.warn('the audit log did not end as it should, which it tells', { path, ...found });
      }
      const at = new Date().toISOString();
      await audit.#push({ event: 'start', at, instance, keyed: chain.isKeyed, ...found });
      return audit;
    } catch (cause) {
      lock[Symbol.dispose]();
      throw unusable(path, cause);
    }
  }

  get figures(): AuditFigures {
    return { waiting: this.#queue.length, lost: this.#lost, isFailing: this.#failure !== undefined };
  }

  async admit(): Promise<void> {
    if (!this.#isRequired || this.#failure === undefined) return;
    this.#write();
    await this.#writing;
    if (this.#failure === undefined) return;
    throw new GloveboxError('engine_unavailable', 'The audit log cannot be written, and nothing is done without it.', {
      hint: 'Ask the operator to look at the disk of GLOVEBOX_AUDIT_LOG, then try again.',
      begun: false,
      cause: this.#failure,
    });
  }

  async record({ event, began, ...fields }: AuditEntry): Promise<void> {
    const pushed = this.#push(
      { event, began, instance: this.#instance, login: currentLogin(), ...fields },
      !this.#isRequired,
    );
    if (this.#isRequired) await pushed;
  }

  /** Writes what waits, and that the log ends here. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    clearTimeout(this.#retry);
    clearTimeout(this.#gathering);
    this.#retry = undefined;
    await this.#push({ event: 'stop', at: new Date().toISOString(), instance: this.#instance });
    clearTimeout(this.#retry);
    const left = this.#queue.length + this.#untold;
    if (left > 0) this.#log.error('entries of the audit log are lost', { entries: left, cause: this.#failure });
    await this.#file.close().catch(() => {});
    this.#lock[Symbol.dispose]();
  }

  /** Resolves when the entry has been written, or could not be. @param mayWait whether it is written with those after it */
  async #push(fields: object, mayWait = false): Promise<void> {
    if (this.#queue.length >= MOST_WAITING) {
      this.#lost += 1;
      this.#untold += 1;
      return;
    }
    const { promise, resolve: done } = Promise.withResolvers<void>();
    this.#queue.push({ fields, done });
    // After a failure, the timer tries again.
    if (this.#retry !== undefined) done();
    else if (mayWait) this.#gathering ??= setTimeout(() => this.#writeGathered(), GATHER_MS).unref();
    else this.#write();
    await promise;
  }

  #writeGathered(): void {
    this.#gathering = undefined;
    this.#write();
  }

  #write(): void {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
      // What came after the last look at the queue, and is not gathered.
      if (this.#queue.length > 0 && this.#failure === undefined && !this.#gathering) this.#write();
    });
  }

  async #writeAll(): Promise<void> {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    try {
      while (this.#queue.length > 0 || this.#untold > 0) await this.#writeSome();
      if (this.#failure !== undefined) this.#log.info('the audit log is written again');
      this.#failure = undefined;
    } catch (error) {
      if (this.#failure === undefined) this.#log.error('the audit log cannot be written', { cause: error });
      this.#failure = error;
      for (const { done } of this.#queue) done?.();
      this.#retry = setTimeout(() => this.#write(), RETRY_MS).unref();
    }
  }

  async #writeSome(): Promise<void> {
    const batch = this.#queue.slice(0, MOST_AT_ONCE);
    const untold = batch.length === this.#queue.length ? this.#untold : 0;
    const gap = { event: 'gap', at: new Date().toISOString(), instance: this.#instance, lost: untold };
    await this.#file.append([...batch.map(({ fields }) => fields), ...(untold > 0 ? [gap] : [])]);
    this.#untold -= untold;
    this.#queue.splice(0, batch.length);
    for (const { done } of batch) done?.();
  }
}

/** @throws GloveboxError `invalid_input` when another process has the log, or there can be none */
function takeLock(path: string): Disposable {
  let lock: Disposable | undefined;
  try {
    makeDirectory(dirname(path));
    lock = holdFileLock(path);
  } catch (cause) {
    throw unusable(path, cause);
  }
  if (lock) return lock;
  throw new GloveboxError('invalid_input', `Another server writes the audit log ${path}.`, {
    hint: 'Give each server a log of its own with GLOVEBOX_AUDIT_LOG.',
  });
}

function unusable(path: string, cause: unknown): GloveboxError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new GloveboxError('invalid_input', `The audit log ${path} cannot be opened: ${why}`, {
    hint: 'Name a file that this server can write in GLOVEBOX_AUDIT_LOG.',
    cause,
  });
}
