import type { ExecutionRequest } from './request.ts';

/** What an execution is for. */
export type RequestKind = 'code' | 'end_context' | NonNullable<ExecutionRequest['kind']>;

/** How executions of one kind are treated. */
export interface KindRules {
  /** Whether its caller surely tells what its end says of losses. */
  readonly isHeard: boolean;
  /** Whether it takes a place among the session's looks, so that a session can be looked at while all others are taken. */
  readonly isQuick: boolean;
  /** Whether it takes one of the places that all sessions share, which short work does not wait for. */
  readonly takesPlace: boolean;
}

const RULES: Readonly<Record<RequestKind, KindRules>> = {
  code: { isHeard: true, isQuick: false, takesPlace: true },
  // Who ends a context gets no result.
  end_context: { isHeard: false, isQuick: false, takesPlace: true },
  packages: { isHeard: true, isQuick: true, takesPlace: false },
  install: { isHeard: true, isQuick: false, takesPlace: true },
  // Not every caller of a file operation has a place to tell it in.
  files: { isHeard: false, isQuick: true, takesPlace: false },
  // Nobody called for it.
  archive: { isHeard: false, isQuick: false, takesPlace: false },
};

/** How an execution is treated, by its kind. */
export function rulesFor({ kind, context, end_context: ended, code }: ExecutionRequest): KindRules {
  const rules = RULES[kind ?? (ended !== undefined && context === undefined ? 'end_context' : 'code')];
  return code === '' ? { ...rules, takesPlace: false } : rules;
}
