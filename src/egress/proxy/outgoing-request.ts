import { type ClientRequest, type IncomingMessage, request as sendRequest } from 'node:http';
import { proxyAuthorization } from '../../outbound/proxy.ts';
import type { HeaderList } from '../injector.ts';
import type { AgentOptions, HostAgents } from '../outgoing/host-agents.ts';
import { inUrl } from '../policy/host-name.ts';
import { BadRequest } from '../refusal.ts';
import type { Plan } from './plan.ts';
import { passedOn, type Target, valuesOf } from './request-head.ts';

/** Methods whose requests have a body, if only an empty one. */
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** Head of a request as it goes out. */
export interface OutgoingHead {
  readonly method: string;
  readonly path: string;
  readonly headers: HeaderList;
}

/** Makes the head of a request as it goes out: with the secrets of its host, and with nothing that is between code and proxy. */
export function makeHead(
  { method = 'GET' }: IncomingMessage,
  sent: HeaderList,
  { path }: Target,
  { destination, injection }: Plan,
  via: URL | undefined,
): OutgoingHead {
  const { host, port, isTls } = destination;
  const isUsualPort = port === (isTls ? 443 : 80);
  const authority = isUsualPort ? inUrl(host) : `${inUrl(host)}:${port}`;
  const passed = passedOn(sent, 'host', 'content-length');
  const made = injection?.apply(passed, path) ?? { headers: passed, target: path };
  return {
    method,
    path: via ? `http://${authority}${made.target}` : made.target,
    headers: [
      ['Host', authority],
      ...made.headers,
      ...framingOf(method, sent),
      ...Object.entries(via ? proxyAuthorization(via) : {}),
    ],
  };
}

/** Sends a head to a host. The body follows. @throws BadRequest */
export function send(
  head: OutgoingHead,
  { destination }: Plan,
  {
    agents,
    via,
    isFresh,
    signal,
  }: {
    readonly agents: HostAgents;
    readonly via: URL | undefined;
    /** Whether no connection is to be used again: what it may break cannot be sent twice. */
    readonly isFresh: boolean;
    readonly signal: AbortSignal;
  },
): ClientRequest {
  const agent = agents.for(destination);
  const options: AgentOptions = {
    method: head.method,
    path: head.path,
    headers: head.headers.flat(),
    host: via?.host ?? destination.host,
    port: via?.port ?? destination.port,
    destination,
    via,
    signal,
    opening: signal,
    setHost: false,
    maxHeaderSize: LARGEST_ANSWER_HEAD,
    ...(isFresh ? { createConnection: agent.createConnection?.bind(agent) } : { agent }),
  };
  try {
    return sendRequest(options);
  } catch (cause) {
    // Node's client takes less than its server.
    throw new BadRequest(400, 'A header or the path has a character that cannot be passed on', { cause });
  }
}

/** Size of the headers of an answer, in bytes. */
const LARGEST_ANSWER_HEAD = 64 * 1024;

/** Says how the body is sent, as the code has said it. */
function framingOf(method: string, sent: HeaderList): HeaderList {
  const [length] = valuesOf(sent, 'content-length');
  if (length !== undefined) return [['Content-Length', length]];
  if (valuesOf(sent, 'transfer-encoding').length > 0) return [['Transfer-Encoding', 'chunked']];
  return WITH_BODY.has(method) ? [['Content-Length', '0']] : [];
}
