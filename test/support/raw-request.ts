import { request as httpRequest, type IncomingMessage } from 'node:http';
import { text as readText } from 'node:stream/consumers';

export interface RawRequest {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

/** A request with exactly these headers: fetch sets Host and the like by itself. */
export async function sendRaw(port: number, path: string, { method = 'GET', headers = {}, body }: RawRequest = {}) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers }, resolve);
    request.once('error', reject);
    request.end(body);
  });
  const text = await readText(response);
  return { status: response.statusCode, headers: response.headers, text, json: () => JSON.parse(text) };
}
