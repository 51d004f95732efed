import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { pipeline } from 'node:stream/promises';
import type { Server } from './requests.ts';

interface InputOptions {
  /** Headers that name the call. */
  readonly headers: Readonly<Record<string, string>>;
  /** Aborts when the call has ended, and needs no more. */
  readonly signal: AbortSignal;
}

/**
 * Sends standard input beside the stream of events of its call, until it ends or the call does. What fails here ends that
 * stream. Not by `fetch`, which gives up after five minutes without a byte: an input may be silent for longer.
 */
export function sendInput({ url, key }: Server, bytes: AsyncIterable<Uint8Array>, options: InputOptions): void {
  const { headers, signal } = options;
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const type = { 'content-type': 'application/octet-stream' };
  const request = url.startsWith('https:') ? requestHttps : requestHttp;
  const sent = request(`${url}/execute/stream/stdin`, {
    ...{ method: 'PUT', headers: { ...type, ...authorization, ...headers }, signal },
  });
  sent.on('response', (response) => void response.resume()).on('error', () => {});
  pipeline(bytes, sent).catch(() => {});
}
