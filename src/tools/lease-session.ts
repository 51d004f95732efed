import type { Lease } from '../sessions/sessions.ts';
import type { ToolContext } from './tool.ts';

/** Holds the session that a call means open, a new one if need be; its caller hears of what that takes. */
export function leaseSession(context: ToolContext, sessionId: string | undefined): Promise<Lease> {
  const { sessions, caller, signal } = context;
  return sessions.lease(caller, sessionId, {
    onProgress: (message) => void context.emit({ type: 'progress', message }),
    signal,
  });
}
