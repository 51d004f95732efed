import type { Caller } from './caller.ts';

/** A session as its owner sees it. Times are ISO 8601. */
export interface SessionSummary {
  session_id: string;
  created_at: string;
  last_used_at: string;
  expires_at: string;
  /** Executions under way. */
  running: number;
}

export interface Sessions {
  /** Sessions there are, of all owners. */
  readonly count: number;
  create(owner: string, name?: string): Promise<SessionSummary>;
  list(owner: string): SessionSummary[];
  /** @throws GloveboxError `session_not_found` for an unknown, expired or another's session alike. */
  describe(owner: string, id: string): SessionSummary;
  close(owner: string, id: string): Promise<void>;
  lease(caller: Caller, id?: string): Promise<unknown>;
}
