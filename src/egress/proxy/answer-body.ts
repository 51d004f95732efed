import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Unreachable } from '../refusal.ts';
import type { Exchange } from '../usage.ts';
import type { AnswerHead } from './answer-head.ts';
import type { Inbound } from './inbound.ts';
import { pump } from './pump.ts';

/** Writes the head of an answer. @throws Unreachable if HTTP does not allow it */
export function writeAnswer(response: ServerResponse, head: Omit<AnswerHead, 'body'>, host: string): void {
  response.sendDate = false;
  try {
    response.writeHead(head.status, head.statusText, head.headers.flat());
  } catch (cause) {
    throw new Unreachable(`${host} sent headers that cannot be passed on`, { cause });
  }
  // The code waits for the head where the body comes late.
  response.flushHeaders();
}

/**
 * Passes the body of an answer on, as fast as the code takes it.
 * @param through stream that it passes through first
 * @param options `fail` ends the connection, so that the code does not take a part for the whole
 */
export function passBody(
  answer: IncomingMessage,
  through: Duplex | undefined,
  response: ServerResponse,
  { exchange, inbound, fail }: { readonly exchange: Exchange; readonly inbound: Inbound; readonly fail: () => void },
): void {
  answer.on('error', fail);
  answer.on('close', () => {
    if (!answer.complete) fail();
  });
  through?.on('error', fail);
  const take = (chunk: Buffer) => {
    inbound.touch();
    if (!exchange.received(chunk.length)) return true;
    fail();
    return false;
  };
  if (through) pump(answer.pipe(through), response, take);
  else pump(answer, response, take, { isSole: true });
}
