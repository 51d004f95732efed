import type { WebGrant, WebRefusal } from '../egress/web-access.ts';
import type { MetLimit } from './limits-met.ts';
import type { ExecutionResult } from './result.ts';
import type { WebUse } from './web-summary.ts';

/** Adds to a result what its code did on other hosts, and the limit that it met there. */
export function withWeb(result: ExecutionResult, grant: Pick<WebGrant, 'hosts' | 'refusals'>) {
  const limit = limitOf(result, grant.refusals);
  const web = webUseOf(grant);
  return { ...result, ...(web ? { web } : {}), ...(limit ? { limit } : {}) };
}

/** What the code of a grant has done on other hosts so far. Undefined if nothing. */
export function webUseOf({ hosts, refusals }: Pick<WebGrant, 'hosts' | 'refusals'>): WebUse | undefined {
  return hosts.length > 0 || refusals.length > 0 ? { hosts, refused: refusals } : undefined;
}

/** Returns the limit of a result of code that may reach other hosts. */
function limitOf({ limit, status, error }: ExecutionResult, refusals: readonly WebRefusal[]): MetLimit | undefined {
  if (limit?.name === 'network') return { ...limit, value: 'proxy', setting: BY_PROXY };
  if (limit || status !== 'error') return limit;
  // An exception names the host that was refused, but not why a connection was cut. A command has none.
  const met = refusals.findLast(({ host, rule }) => !error || rule === 'limit' || error.traceback.includes(host));
  if (!met) return undefined;
  return met.limit ?? { name: 'web', value: `${met.host}:${met.port}`, setting: met.message };
}

const BY_PROXY =
  'use the proxy of HTTPS_PROXY, as requests, httpx, urllib, curl and git do by themselves: nothing leaves the sandbox but through it, and no name is resolved inside';
