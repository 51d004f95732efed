import type { ExecutionEnd, ExecutionRequest } from '../../execution/request.ts';
import { type AccessSession, openAccess } from './execution-access.ts';

/** Runs a terminal with the access that executions of its session have by default, for as long as it lives. */
export async function withAccess(
  session: AccessSession,
  terminal: string,
  request: ExecutionRequest,
  run: (request: ExecutionRequest) => Promise<ExecutionEnd>,
): Promise<ExecutionEnd> {
  const { access, env } = openAccess(session, terminal, { env: request.env });
  try {
    return await run(env ? { ...request, env } : request);
  } finally {
    access?.[Symbol.dispose]();
  }
}
