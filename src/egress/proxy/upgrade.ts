import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { lasting } from '../../lib/reused-memory.ts';
import type { HeaderList } from '../injector.ts';
import { BadRequest, Unreachable } from '../refusal.ts';
import { passBody, writeAnswer } from './answer-body.ts';
import { type AnswerHead, readAnswer } from './answer-head.ts';
import { answerRequest, responseOn, toAnswer } from './answers.ts';
import { relayExchange } from './connect.ts';
import { handleRequest } from './forward.ts';
import { type Allowed, allowRequest, noteFailure, outcomeOf, type ProxyParts, sizeOf } from './handling.ts';
import type { Inbound } from './inbound.ts';
import { makeHead, send } from './outgoing-request.ts';
import { planRequest } from './plan.ts';
import { headersOf, readRequestTarget, type Target, valuesOf } from './request-head.ts';

/**
 * Passes a request on that changes its connection into a WebSocket. What asks for another protocol is answered without it,
 * as HTTP allows.
 * @param head bytes that came right after the request
 * @throws Refused, BadRequest, Unreachable
 */
export async function handleUpgrade(
  parts: ProxyParts,
  inbound: Inbound,
  request: IncomingMessage,
  stream: Duplex,
  head: Buffer,
): Promise<void> {
  const headers = headersOf(request);
  const target = readRequestTarget(request, headers);
  if (valuesOf(headers, 'content-length').length + valuesOf(headers, 'transfer-encoding').length > 0) {
    throw new BadRequest(400, 'A request that changes the protocol has no body here');
  }
  if (!valuesOf(headers, 'upgrade').every((value) => value.trim().toLowerCase() === 'websocket')) {
    const response = responseOn(stream, request);
    return await handleRequest(parts, inbound, request, response).catch((error: unknown) => {
      const answer = toAnswer(error);
      if (!answer) throw error;
      answerRequest(response, answer);
    });
  }
  const allowed = allowRequest(parts, inbound, request, headers, {
    target,
    plan: (grant) => planRequest(grant, target, parts.injector),
  });
  inbound.begin(allowed.exchange, () => stream.destroy());
  try {
    await openWebSocket({ parts, inbound, request, stream, head, headers, target, allowed });
  } catch (error) {
    noteFailure(allowed, error, inbound);
    throw error;
  }
}

interface Upgrading {
  readonly parts: ProxyParts;
  readonly inbound: Inbound;
  readonly request: IncomingMessage;
  readonly stream: Duplex;
  readonly head: Buffer;
  readonly headers: HeaderList;
  readonly target: Target;
  readonly allowed: Allowed;
}

async function openWebSocket(upgrading: Upgrading): Promise<void> {
  const { parts, inbound, request, headers, target, allowed } = upgrading;
  const { plan, exchange, grant } = allowed;
  const own = makeHead(request, headers, target, plan, undefined);
  const refused = exchange.sent(sizeOf(headers) + target.path.length);
  if (refused) throw refused;
  const upgraded: HeaderList = [...own.headers, ['Connection', 'Upgrade'], ['Upgrade', 'websocket']];
  const outgoing = send({ ...own, headers: upgraded }, plan, {
    ...{ agents: parts.agentsOf(grant), via: undefined, isFresh: true, signal: inbound.signal },
  });
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  outgoing.once('upgrade', (answer, host, first) => resolve({ answer, host, first: lasting(first) }));
  outgoing.once('response', (answer) => resolve({ answer }));
  outgoing.on('error', (cause) => {
    const ended = new Unreachable(`${target.host} ended the connection without an answer`, { cause });
    reject(toAnswer(cause) ? cause : ended);
  });
  outgoing.end();
  const answered = await promise;
  try {
    if (answered.host) joinSides(upgrading, answered.answer, answered.host, answered.first);
    else passAnswer(upgrading, answered.answer);
  } catch (error) {
    outgoing.destroy();
    answered.host?.destroy();
    throw error;
  }
}

type Answered =
  | { readonly answer: IncomingMessage; readonly host: Duplex; readonly first: Buffer }
  | { readonly answer: IncomingMessage; readonly host?: never };

function joinSides(
  { inbound, stream, head, target, allowed }: Upgrading,
  answer: IncomingMessage,
  host: Duplex,
  first: Buffer,
): void {
  const given = readAnswer(answer, allowed.plan, target, 'upgrade');
  if (!stream.destroyed) stream.write(switching(given));
  if (first.length > 0) host.unshift(first);
  if (head.length > 0) stream.unshift(head);
  relayExchange(allowed, inbound, stream, host, given.body);
}

/** Passes an answer on that leaves the protocol as it is. */
function passAnswer({ inbound, request, stream, target, allowed }: Upgrading, answer: IncomingMessage): void {
  const { exchange } = allowed;
  const { status, statusText, headers, body } = readAnswer(answer, allowed.plan, target, { method: 'GET' });
  const response = responseOn(stream, request);
  response.once('close', () => {
    answer.destroy();
    inbound.finish(exchange);
    exchange.end(response.writableFinished ? 'ok' : outcomeOf(inbound));
  });
  writeAnswer(response, { status, statusText, headers }, target.host);
  passBody(answer, body, response, { exchange, inbound, fail: () => void stream.destroy() });
}

/** Head of the answer that changes the protocol. */
function switching({ headers }: AnswerHead): string {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines.join('')}\r\n`;
}
