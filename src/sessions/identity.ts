/** Constant properties that identify a session. */
export interface SessionIdentity {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: Date;
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
}
