/** Answers of the API, as far as this page uses them. */

export interface Health {
  readonly status: 'ok' | 'unavailable';
  readonly version?: string;
  readonly engine?: Readonly<Record<string, unknown>>;
  readonly image?: string;
  readonly sessions?: number;
  readonly adopting?: number;
  readonly pool?: { readonly size: number; readonly ready: number };
  readonly preload?: { readonly bytes: number; readonly limit: number; readonly sandboxes: number };
  readonly executions?: { readonly running: number; readonly waiting: number; readonly places: number };
}

export interface ServerInfo {
  readonly version: string;
  readonly owner: string;
  readonly needs_key: boolean;
  /** Protections that sandboxes lack. */
  readonly missing: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly package_cache: { readonly bytes?: number; readonly limit_bytes: number };
}

export interface Finding {
  readonly level: 'ok' | 'warn' | 'fail';
  readonly what: string;
  readonly said: string;
  readonly next?: string;
}

export interface Session {
  readonly session_id: string;
  readonly state: 'active' | 'hibernated';
  readonly created_at: string;
  readonly last_used_at: string;
  readonly expires_at: string;
  readonly running: number;
  readonly contexts: readonly string[];
  readonly owner: string;
  readonly usage: { readonly cpu_ms: number; readonly peak_memory_bytes: number; readonly saved_bytes?: number };
}

export type Decision = 'once' | 'session' | 'refuse';

/** Question whether code may call a tool. */
export interface Approval {
  readonly approval_id: string;
  readonly owner: string;
  readonly session_id: string;
  readonly execution_id: string;
  readonly server: string;
  readonly tool: string;
  readonly arguments: string;
  /** Size of all arguments, if not all are here. */
  readonly arguments_bytes?: number;
  readonly mode: 'writes' | 'always';
  readonly changed?: boolean;
  readonly answers: readonly Decision[];
  readonly asked_at: string;
  readonly expires_at: string;
}

export type Status = 'queued' | 'running' | 'ok' | 'error' | 'timeout' | 'cancelled' | 'out_of_memory' | 'crashed';

export interface Snapshot {
  readonly snapshot_id: string;
  readonly session_id: string;
  readonly size: number;
  readonly created_at: string;
}

/** An execution in the list of the last ones. */
export interface RecentExecution {
  readonly execution_id: string;
  readonly session_id: string;
  readonly started_at: string;
  readonly status: Status;
  readonly background: boolean;
  readonly context?: string;
  readonly kind: 'code' | 'command';
  /** The beginning of its code, or of its command. */
  readonly code: string;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly error?: string;
  readonly duration_ms?: number;
  readonly queued_ms?: number;
  readonly cpu_ms?: number;
  readonly peak_memory_bytes?: number;
}

/** What a program displayed, in the forms that it has. */
export interface Result {
  readonly text?: string;
  readonly html?: string;
  readonly markdown?: string;
  readonly svg?: string;
  readonly png?: string;
  readonly jpeg?: string;
  readonly json?: unknown;
  readonly latex?: string;
  readonly truncated?: readonly string[];
  readonly original?: { readonly path: string; readonly size: number };
  readonly omitted?: readonly string[];
}

export interface FileEntry {
  readonly path: string;
  readonly type: 'file' | 'directory' | 'link' | 'other';
  readonly size: number;
  readonly modified: string;
}

interface CutStream {
  readonly bytes: number;
  readonly total_bytes: number;
  readonly file?: string;
}

export interface Limit {
  readonly name: string;
  readonly value: number | string;
  readonly setting: string;
}

export interface Reset {
  readonly reason: string;
  readonly lost: readonly string[];
  readonly restored_from?: string;
}

/** The result of `execute_python`. */
export interface Execution {
  readonly session_id: string;
  readonly execution_id: string;
  readonly status: Status;
  readonly exit_code: number | null;
  readonly signal?: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly error?: {
    readonly name: string;
    readonly value: string;
    readonly traceback: string;
    readonly hint?: string;
  };
  readonly truncated?: { readonly stdout?: CutStream; readonly stderr?: CutStream };
  readonly results?: readonly Result[];
  readonly files: readonly { readonly path: string; readonly size: number }[];
  readonly limit?: Limit;
  readonly session_reset?: Reset;
  readonly duration_ms: number;
  readonly queued_ms?: number;
  readonly cpu_ms?: number;
  readonly peak_memory_bytes?: number;
  readonly contexts?: readonly string[];
  /** Calls of tools that its code made. */
  readonly tool_calls?: readonly {
    readonly n: number;
    readonly tool: string;
    readonly status: string;
    readonly ms: number;
  }[];
}

/** The result of `install_dependencies`. */
export interface Installation {
  readonly session_id: string;
  readonly status: Status;
  readonly packages: readonly {
    readonly name: string;
    readonly requested: string;
    readonly status: 'installed' | 'already_satisfied' | 'failed' | 'not_attempted';
    readonly version?: string;
    readonly error?: string;
    readonly note?: string;
  }[];
  readonly notes?: readonly string[];
  readonly log: string;
}
