import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { BadRequest, Unreachable } from '../refusal.ts';
import { passBody, writeAnswer } from './answer-body.ts';
import { readAnswer } from './answer-head.ts';
import { answerRequest, toAnswer } from './answers.ts';
import { type Allowed, allowRequest, noteFailure, outcomeOf, type ProxyParts, sizeOf } from './handling.ts';
import type { Inbound } from './inbound.ts';
import { makeHead, type OutgoingHead, send } from './outgoing-request.ts';
import { planRequest } from './plan.ts';
import { pump } from './pump.ts';
import { headersOf, readRequestTarget, type Target, valuesOf } from './request-head.ts';

/** A request on its way. */
interface Forwarding {
  readonly parts: ProxyParts;
  readonly inbound: Inbound;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly target: Target;
  readonly allowed: Allowed;
  readonly head: OutgoingHead;
  readonly via: URL | undefined;
  readonly hasBody: boolean;
}

/** Passes a plain request on, and its answer back. @throws Refused, BadRequest, Unreachable, before there is an answer */
export async function handleRequest(
  parts: ProxyParts,
  inbound: Inbound,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const headers = headersOf(request);
  const target = readRequestTarget(request, headers);
  if (request.method === 'TRACE') throw new BadRequest(405, 'TRACE is not passed on');
  const allowed = allowRequest(parts, inbound, request, headers, {
    target,
    plan: (grant) => planRequest(grant, target, parts.injector),
  });
  const { plan, exchange } = allowed;
  const onIdle = () => {
    answerRequest(response, { status: 504, message: `${target.host} sent nothing for too long`, headers: {} });
    if (response.headersSent) inbound.stream.destroy();
  };
  inbound.begin(exchange, onIdle);
  try {
    const via = parts.connector.plainProxy(plan.destination);
    if (via) await parts.connector.checkPlain(plan.destination, inbound.signal);
    const head = makeHead(request, headers, target, plan, via);
    const refused = exchange.sent(sizeOf(headers) + target.path.length);
    if (refused) throw refused;
    const hasBody = [...valuesOf(headers, 'content-length'), ...valuesOf(headers, 'transfer-encoding')].length > 0;
    await exchangeMessages({ parts, inbound, request, response, target, allowed, head, via, hasBody });
  } catch (error) {
    noteFailure(allowed, error, inbound);
    throw error;
  }
}

/** Sends a request, and passes its answer back. Resolves with the begin of the answer. */
async function exchangeMessages(forwarding: Forwarding): Promise<void> {
  const { inbound, request, response, allowed, target } = forwarding;
  const { plan, exchange } = allowed;
  const { answer, outgoing } = await sendOnce(forwarding);
  response.once('close', () => {
    outgoing.destroy();
    inbound.finish(exchange);
    exchange.end(response.writableFinished ? 'ok' : outcomeOf(inbound));
  });
  if (response.destroyed) return void outgoing.destroy();
  const fail = () => void inbound.stream.destroy();
  try {
    const { body, ...head } = readAnswer(answer, plan, target, { method: request.method ?? '' });
    writeAnswer(response, head, target.host);
    exchange.received(sizeOf(head.headers));
    passBody(answer, body, response, { exchange, inbound, fail });
  } catch (error) {
    outgoing.destroy();
    throw error;
  }
}

interface Answered {
  readonly answer: IncomingMessage;
  readonly outgoing: ClientRequest;
}

/** Sends a request, once more if a connection that was used before turns out to be closed. @throws as `handleRequest` does */
async function sendOnce(forwarding: Forwarding): Promise<Answered> {
  try {
    return await trySending(forwarding);
  } catch (error) {
    if (!(error instanceof StaleConnection)) throw error;
    return await trySending(forwarding);
  }
}

class StaleConnection extends Error {}

function trySending({
  parts,
  inbound,
  request,
  response,
  target,
  allowed,
  head,
  via,
  hasBody,
}: Forwarding): Promise<Answered> {
  const agents = parts.agentsOf(allowed.grant);
  const outgoing = send(head, allowed.plan, { agents, via, isFresh: hasBody, signal: inbound.signal });
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  outgoing.once('response', (answer) => {
    inbound.touch();
    resolve({ answer, outgoing });
  });
  // Errors after the answer has begun are errors of the answer.
  outgoing.on('error', (error: NodeJS.ErrnoException) => {
    if (toAnswer(error)) reject(error);
    else if (outgoing.reusedSocket && error.code === 'ECONNRESET') reject(new StaleConnection());
    else reject(new Unreachable(`${target.host} ended the connection without an answer`, { cause: error }));
  });
  outgoing.once('upgrade', (_answer, socket) => {
    socket.destroy();
    reject(new Unreachable(`${target.host} changed the protocol without being asked`));
  });
  if (hasBody) {
    const take = (chunk: Buffer) => {
      inbound.touch();
      const refused = allowed.exchange.sent(chunk.length);
      if (!refused) return true;
      // If the answer has begun already, only the end of the connection can tell.
      if (response.headersSent) inbound.stream.destroy();
      reject(refused);
      outgoing.destroy();
      return false;
    };
    pump(request, outgoing, take, { isSole: true });
  } else outgoing.end();
  return promise;
}
