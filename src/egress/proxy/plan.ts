import type { Grant } from '../grants.ts';
import { type Injection, InjectionFailure, type Injector } from '../injector.ts';
import type { Destination } from '../outgoing/destination.ts';
import { hostNotNamed, portNotNamed, Refused } from '../refusal.ts';
import type { Target } from './request-head.ts';

/** How a request goes out. */
export interface Plan {
  readonly destination: Destination;
  /** Pattern of the operator that allows it. */
  readonly rule: string;
  readonly injection: Injection | undefined;
}

const HTTP = 80;
const HTTPS = 443;

/** Plans a connection end to end. @throws Refused `host` and `port` */
export function planConnection(grant: Grant, target: Target): Plan {
  return { ...allow(grant, target.host, target.port, false), injection: undefined };
}

/**
 * Plans a plain request: it goes out over TLS if the operator has said so for the host, or has a secret for it. Then port
 * 80 inside is port 443 outside.
 * @throws Refused `host` and `port`; `secret` if the host has one that cannot be read
 */
export function planRequest(grant: Grant, { host, port }: Target, injector: Injector | undefined): Plan {
  const injection = withReason(host, port, () => injector?.for(grant.owner, host, port));
  if (injection) return { ...allow(grant, host, injection.port, !injection.isPlain), injection };
  const securePort = port === HTTP ? HTTPS : port;
  const secure = grant.decide(host, securePort);
  if (secure.allowed && secure.isTls) return { ...allow(grant, host, securePort, true), injection: undefined };
  return { ...allow(grant, host, port, false), injection: undefined };
}

/** Does something with a secret. @throws Refused `secret` that says why it cannot be done */
export function withReason<T>(host: string, port: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof InjectionFailure)) throw error;
    throw new Refused({ host, port, rule: 'secret', message: error.message }, { cause: error });
  }
}

function allow(grant: Grant, host: string, port: number, isTls: boolean): Pick<Plan, 'destination' | 'rule'> {
  const decision = grant.decide(host, port);
  if (!decision.allowed) {
    const { rule, level, ports } = decision;
    throw rule === 'host' ? hostNotNamed(host, port, level) : portNotNamed(host, port, level, ports);
  }
  const { rule, isNamedAddress } = decision;
  return { destination: { owner: grant.owner, host, port, isTls, isNamedAddress }, rule };
}
