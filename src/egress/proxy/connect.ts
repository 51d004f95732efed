import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Allowed, allowRequest, noteFailure, outcomeOf, type ProxyParts } from './handling.ts';
import type { Inbound } from './inbound.ts';
import { planConnection } from './plan.ts';
import { relay } from './relay.ts';
import { headersOf, readConnectTarget } from './request-head.ts';

const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';

/**
 * Connects code with a host end to end: what passes is not looked at.
 * @param head bytes that came right after the request
 * @throws Refused, BadRequest, Unreachable
 */
export async function handleConnect(
  parts: ProxyParts,
  inbound: Inbound,
  request: IncomingMessage,
  stream: Duplex,
  head: Buffer,
): Promise<void> {
  const headers = headersOf(request);
  const target = readConnectTarget(request, headers);
  const allowed = allowRequest(parts, inbound, request, headers, {
    target,
    plan: (grant) => planConnection(grant, target),
  });
  const { plan, exchange } = allowed;
  inbound.begin(exchange, () => stream.destroy());
  let host: Duplex;
  try {
    host = await parts.connector.open({ ...plan.destination, isHalfOpen: true }, inbound.signal);
  } catch (error) {
    noteFailure(allowed, error, inbound);
    throw error;
  }
  if (stream.destroyed) host.destroy();
  else stream.write(ESTABLISHED);
  if (head.length > 0) stream.unshift(head);
  relayExchange(allowed, inbound, stream, host);
}

/**
 * Passes the bytes of an exchange until both sides have ended, and counts them.
 * @param through stream that those of the host pass through first
 */
export function relayExchange(
  { exchange }: Allowed,
  inbound: Inbound,
  stream: Duplex,
  host: Duplex,
  through?: Duplex,
): void {
  relay(stream, host, {
    through,
    sent: (bytes) => {
      inbound.touch();
      return exchange.sent(bytes);
    },
    received: (bytes) => {
      inbound.touch();
      return exchange.received(bytes);
    },
    onClose: ({ isWhole, refused }) => {
      inbound.finish(exchange);
      exchange.end(refused ? 'cut' : isWhole ? 'ok' : outcomeOf(inbound));
    },
  });
}
