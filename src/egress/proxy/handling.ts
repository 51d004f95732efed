import type { IncomingMessage } from 'node:http';
import type { Log } from '../../log.ts';
import type { Grant, WebGrants } from '../grants.ts';
import type { HeaderList, Injector } from '../injector.ts';
import type { Connector } from '../outgoing/connector.ts';
import type { HostAgents } from '../outgoing/host-agents.ts';
import { BadRequest, Refused } from '../refusal.ts';
import type { Exchange, Outcome } from '../usage.ts';
import type { Inbound } from './inbound.ts';
import type { Plan } from './plan.ts';
import { readToken, type Target } from './request-head.ts';

/** What the handlers of requests use. */
export interface ProxyParts {
  readonly grants: Pick<WebGrants, 'find'>;
  readonly connector: Connector;
  readonly injector: Injector | undefined;
  /** Connections of an execution to hosts. */
  readonly agentsOf: (grant: Grant) => HostAgents;
  readonly log: Log;
}

/** A request that is allowed. */
export interface Allowed {
  readonly grant: Grant;
  readonly plan: Plan;
  readonly exchange: Exchange;
}

/**
 * Checks whose request this is and whether it may be made, and counts it.
 * @throws Refused, which has been told then; BadRequest
 */
export function allowRequest(
  { grants }: Pick<ProxyParts, 'grants'>,
  inbound: Inbound,
  { method = '' }: IncomingMessage,
  headers: HeaderList,
  { target, plan: makePlan }: { readonly target: Target; readonly plan: (grant: Grant) => Plan },
): Allowed {
  const grant = grants.find(readToken(headers), inbound.session);
  if (!grant) throw new BadRequest(403, NO_GRANT);
  let rule: string | undefined;
  try {
    const plan = makePlan(grant);
    rule = plan.rule;
    const { host, port } = plan.destination;
    inbound.use(grant, target.host, target.port);
    const secrets = plan.injection?.names;
    return { grant, plan, exchange: grant.usage.begin({ host, port, rule, method, secrets }) };
  } catch (error) {
    if (error instanceof Refused) grant.usage.refuse(error, method, rule);
    throw error;
  }
}

/** Tells of an error that ended an exchange before it had an answer. */
export function noteFailure({ grant, plan, exchange }: Allowed, error: unknown, inbound: Inbound): void {
  const isLimit = error instanceof Refused && error.refusal.rule === 'limit';
  if (error instanceof Refused && !isLimit) grant.usage.refuse(error, exchange.facts.method, plan.rule);
  exchange.end(isLimit ? 'cut' : outcomeOf(inbound));
  inbound.finish(exchange);
}

/** How an exchange has ended that is not whole. */
export function outcomeOf(inbound: Inbound): Outcome {
  if (inbound.isCut) return 'cut';
  return inbound.signal.aborted ? 'gone' : 'failed';
}

/** Bytes of a head, without its line ends. */
export function sizeOf(headers: HeaderList): number {
  return headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
}

const NO_GRANT = 'The execution is over that had this way to the web, or it is of another session';
