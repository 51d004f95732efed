import type { GloveboxError } from '../../errors.ts';
import { parseJson } from '../../lib/json-input.ts';

/** JSON-RPC: an error inside of the server. */
const INTERNAL_ERROR = -32_603;

/** The answer to a request of MCP that no control plane has served, or not to its end. */
export function rpcFailure(body: string | undefined, error: GloveboxError): Response {
  const { message, hint } = error;
  const failure = { code: INTERNAL_ERROR, message: `${message} ${hint}`, data: error.toBody() };
  const status = error.status >= 500 ? error.status : 200;
  return Response.json({ jsonrpc: '2.0', id: idOf(body), error: failure }, { status });
}

function idOf(body: string | undefined): string | number | null {
  try {
    const { id } = parseJson(body ?? '') as { id?: unknown };
    return typeof id === 'string' || typeof id === 'number' ? id : null;
  } catch {
    return null;
  }
}
