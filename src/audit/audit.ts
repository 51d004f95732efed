/**
 * What a call was, and what came of it; or how what a call began in the background has ended. Neither code nor output,
 * contents of files, nor values of anything.
 */
export interface AuditEntry {
  readonly event: 'call' | 'end';
  /** When it began, in ISO 8601. */
  readonly began: string;
  /** Name of the key of its caller; `local` on a server without keys. */
  readonly owner: string;
  /** Unknown of what ends. */
  readonly transport?: 'rest' | 'mcp' | 'stdio';
  /** Tool that was called. */
  readonly tool?: string | undefined;
  /** Operation of REST that is no tool, such as `DELETE /sessions/:id`. */
  readonly operation?: string | undefined;
  readonly session?: string | undefined;
  readonly execution?: string | undefined;
  readonly code_sha256?: string | undefined;
  readonly code_bytes?: number | undefined;
  /** Versions of packages that were installed, by name. */
  readonly packages?: Readonly<Record<string, string>> | undefined;
  /** Requests, by host. */
  readonly hosts?: Readonly<Record<string, number>> | undefined;
  /** Calls of tools of other servers, by name. */
  readonly tools?: Readonly<Record<string, number>> | undefined;
  /** `ok`, another status of the tool's output, `cancelled`, or `failed`, with the code of the error. */
  readonly outcome: string;
  readonly error?: string | undefined;
  readonly duration_ms: number;
  readonly queued_ms?: number | undefined;
}

/** Keeps what callers do. */
export interface Audit {
  /** Lets a call begin. @throws GloveboxError `engine_unavailable` if it must be kept, and cannot */
  admit(): Promise<void>;
  /** Keeps an entry. If entries must be kept, it resolves once this one has been written, or could not be. */
  record(entry: AuditEntry): Promise<void>;
}
