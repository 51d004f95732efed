import { type IncomingMessage, ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { BadRequest, Refused, toStatusText, Unreachable } from '../refusal.ts';

/** What the proxy itself says of a request that it does not carry out. */
interface Answer {
  readonly status: number;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Time in milliseconds for code to end its connection after the last answer. */
const LINGER_MS = 2000;

/** Says why a request is not carried out. Undefined for a defect. */
export function toAnswer(error: unknown): Answer | undefined {
  if (error instanceof Refused) {
    const { rule, message } = error.refusal;
    return { status: 403, message, headers: { 'X-Glovebox-Refused': rule } };
  }
  if (error instanceof BadRequest) return { status: error.status, message: error.message, headers: error.headers };
  if (error instanceof Unreachable) return { status: error.status, message: error.message, headers: {} };
  return undefined;
}

/** Answers a request with words of the proxy's own, and ends the connection: its body may not have been read. */
export function answerRequest(response: ServerResponse, { status, message, headers }: Answer): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const text = toStatusText(message);
  const body = `${text}\n`;
  response.shouldKeepAlive = false;
  response.writeHead(status, text, {
    ...headers,
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  });
  response.end(body);
}

/** Answers a request of a connection that is raw from then on. The words are in the status line, which clients show. */
export function answerRaw(stream: Duplex, { status, message, headers }: Answer): void {
  if (stream.destroyed) return;
  const text = toStatusText(message);
  const body = `${text}\n`;
  const lines = Object.entries({
    ...headers,
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  stream.end(`HTTP/1.1 ${status} ${text}\r\n${lines.join('')}\r\n${body}`);
  // What the code still sends is read and dropped, or the end would wait for it.
  stream.resume();
  endAfterFlush(stream);
}

/** Closes a connection soon after its last bytes have gone: its other side may never end its half. */
export function endAfterFlush(stream: Duplex): void {
  const close = () => setTimeout(() => stream.destroy(), LINGER_MS).unref();
  if (stream.writableFinished) close();
  else stream.once('finish', close);
}

/** Answers what was no request. */
export function answerUnreadable(stream: Duplex, error: NodeJS.ErrnoException): void {
  if (!stream.writable) return void stream.destroy();
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const message = status === 400 ? 'This is no valid request of HTTP/1.1' : (STATUS_CODES[status] ?? '');
  answerRaw(stream, { status, message, headers: {} });
}

/** Makes a response for a request whose connection was handed over as a raw stream. */
export function responseOn(stream: Duplex, request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  // It takes any stream: it writes, and waits for its events.
  response.assignSocket(stream as Parameters<ServerResponse['assignSocket']>[0]);
  response.once('finish', () => {
    stream.end();
    // Nothing else reads from it, and without its end it would stay open, and count, until it is idle for too long.
    stream.resume();
    endAfterFlush(stream);
  });
  return response;
}
