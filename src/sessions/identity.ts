import type { Contexts } from './contexts.ts';
import type { Lifetime } from './lifecycle/lifetime.ts';

/** Constant properties that identify a session. */
export interface SessionIdentity {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: Date;
  /** Patterns of hosts to which its executions are narrowed. Default: all that its owner may reach. */
  readonly webPatterns?: readonly string[] | undefined;
}

/** Session as its owner sees it. Times are in ISO 8601. */
export interface SessionSummary {
  session_id: string;
  /** A hibernated session has no sandbox until it is used again. */
  state: 'active' | 'hibernated';
  created_at: string;
  last_used_at: string;
  expires_at: string;
  /** Number of running executions. */
  running: number;
  /** Names of the live contexts. */
  contexts: string[];
  /** Patterns of hosts to which its executions are narrowed. */
  web?: string[];
}

/** Session that was opened by its name, or created. */
export interface OpenedSession {
  readonly session: SessionSummary;
  readonly created: boolean;
}

/** Part of a session that its summary tells of. */
interface Summarized extends SessionIdentity {
  readonly isHibernated: boolean;
  readonly lifetime: Pick<Lifetime, 'lastUsedAt' | 'expiresAt'>;
  readonly contexts: Pick<Contexts, 'names'>;
}

/** @param running number of running executions */
export function summarize(session: Summarized, running: number): SessionSummary {
  const { id, createdAt, isHibernated, lifetime, contexts, webPatterns } = session;
  return {
    session_id: id,
    state: isHibernated ? 'hibernated' : 'active',
    created_at: createdAt.toISOString(),
    last_used_at: lifetime.lastUsedAt.toISOString(),
    expires_at: lifetime.expiresAt.toISOString(),
    running,
    contexts: contexts.names,
    ...(webPatterns ? { web: [...webPatterns] } : {}),
  };
}
