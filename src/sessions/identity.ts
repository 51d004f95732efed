/** What names a session, and never changes. */
export interface SessionIdentity {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: Date;
}

/** A session as its owner sees it. Times are ISO 8601. */
export interface SessionSummary {
  session_id: string;
  /** A hibernated one has no sandbox until it is used again. */
  state: 'active' | 'hibernated';
  created_at: string;
  last_used_at: string;
  expires_at: string;
  /** Executions under way. */
  running: number;
  /** Names of its live contexts. */
  contexts: string[];
}
