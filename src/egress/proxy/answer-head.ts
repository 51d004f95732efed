import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { HeaderList } from '../injector.ts';
import { inUrl } from '../policy/host-name.ts';
import { Unreachable } from '../refusal.ts';
import { type Plan, withReason } from './plan.ts';
import { headersOf, passedOn, type Target } from './request-head.ts';

/** Head of an answer as the code gets it. */
export interface AnswerHead {
  readonly status: number;
  readonly statusText: string;
  readonly headers: HeaderList;
  /** Stream that the body is to pass through. */
  readonly body: Duplex | undefined;
}

/** Statuses of answers without a body. */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** Header of refusals, which are of this proxy alone. */
const OWN = 'x-glovebox-refused';

/** Makes the head of an answer as the code gets it: with no secret. @throws Unreachable; Refused `secret` */
export function readAnswer(
  answer: IncomingMessage,
  { injection, destination }: Plan,
  target: Target,
  kind: 'upgrade' | { readonly method: string },
): AnswerHead {
  const { statusCode: status = 0, statusMessage = '' } = answer;
  // Only this proxy asks code to show who it is.
  if (status === 407) throw new Unreachable('The host or the proxy of the server asks for credentials of a proxy');
  if (!injection) {
    const passed = passedOn(headersOf(answer), OWN);
    const headers = passed.map(([name, value]) => [name, toPlain(name, value, destination, target)] as const);
    return { status, statusText: statusMessage, headers: destination.isTls ? headers : passed, body: undefined };
  }
  const isHead = kind !== 'upgrade' && (kind.method === 'HEAD' || WITHOUT_BODY.has(status));
  // All headers: a host could name those of its body as such between two hops.
  const { headers, body } = withReason(target.host, target.port, () =>
    injection.scrub(headersOf(answer), kind === 'upgrade' ? kind : isHead ? 'head' : 'body'),
  );
  const statusText = injection.scrubText(statusMessage);
  return { status, statusText, headers: passedOn(headers, OWN), body: isHead ? undefined : body };
}

/** A redirect to the same host stays in the form in which the code asks for it. */
function toPlain(name: string, value: string, { host, port }: Plan['destination'], target: Target): string {
  if (name.toLowerCase() !== 'location') return value;
  const url = URL.parse(value);
  if (url?.protocol !== 'https:' || url.hostname !== inUrl(host) || Number(url.port || 443) !== port) return value;
  const inside = target.port === 80 ? inUrl(host) : `${inUrl(host)}:${target.port}`;
  return `http://${inside}${url.pathname}${url.search}${url.hash}`;
}
