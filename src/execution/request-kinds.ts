import type { ExecutionRequest } from './request.ts';

/** Purpose of an execution. */
export type RequestKind = 'code' | 'end_context' | NonNullable<ExecutionRequest['kind']>;

/** Rules for executions of one kind. */
export interface KindRules {
  /** Whether the caller always gets the losses that the result reports. */
  readonly isHeard: boolean;
  /** Whether it uses the session's places for quick requests. They stay free while code takes all other places. */
  readonly isQuick: boolean;
  /** Whether it needs one of the places that all sessions share. Short requests need none. */
  readonly takesPlace: boolean;
}

const RULES: Readonly<Record<RequestKind, KindRules>> = {
  code: { isHeard: true, isQuick: false, takesPlace: true },
  command: { isHeard: true, isQuick: false, takesPlace: true },
  // A caller who ends a context gets no result.
  end_context: { isHeard: false, isQuick: false, takesPlace: true },
  packages: { isHeard: true, isQuick: true, takesPlace: false },
  install: { isHeard: true, isQuick: false, takesPlace: true },
  // Not every answer to a file operation has a field for losses.
  files: { isHeard: false, isQuick: true, takesPlace: false },
  // The server makes it for itself; no caller gets its result.
  archive: { isHeard: false, isQuick: false, takesPlace: false },
  // It stays for long and waits most of the time. Its end is told to its viewers only.
  terminal: { isHeard: false, isQuick: false, takesPlace: false },
};

/** Returns the rules for an execution. */
export function rulesFor({ kind, context, end_context: ended, code }: ExecutionRequest): KindRules {
  const rules = RULES[kind ?? (ended !== undefined && context === undefined ? 'end_context' : 'code')];
  return code === '' ? { ...rules, takesPlace: false } : rules;
}
