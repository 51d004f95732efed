import type { Lease } from '../sessions/sessions.ts';
import type { ToolContext } from './tool.ts';

/** Leases the session of a call, or a new one if necessary. Reports the progress to the caller. */
export function leaseSession(context: ToolContext, sessionId: string | undefined): Promise<Lease> {
  const { sessions, caller, signal } = context;
  return sessions.lease(caller, sessionId, {
    onProgress: (message) => void context.emit({ type: 'progress', message }),
    signal,
  });
}
