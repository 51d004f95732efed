import type { RawData, WebSocket } from 'ws';
import { isSize } from '../../terminals/session-terminals.ts';
import type { Terminal } from '../../terminals/terminal.ts';
import type { ViewerMessage } from '../../terminals/viewer.ts';
import { ControlPace } from './control-pace.ts';

/** Interval in milliseconds of the questions whether a viewer is still there. */
const PING_MS = 20_000;
/** Codes of RFC 6455 for the end of a connection. */
const NORMAL = 1000;
const BAD_MESSAGE = 1008;

/** Connects a WebSocket to a terminal: bytes both ways are binary messages, all else is JSON in text messages. */
export function attachSocket(socket: WebSocket, terminal: Terminal, from: number | undefined): void {
  const send = (data: Buffer | string) => new Promise<void>((resolve) => socket.send(data, () => resolve()));
  const tell = (message: ViewerMessage) => {
    const sent = send(JSON.stringify(message));
    if (message.type === 'ended') socket.close(NORMAL, 'ended');
    return sent;
  };
  // Before the first byte is sent: what fails closes it.
  socket.on('error', () => socket.terminate());
  const viewing = terminal.attach({ send, tell }, from);
  const pace = new ControlPace(socket);
  const stopAsking = askWhetherThere(socket);
  socket.on('close', () => {
    stopAsking();
    viewing[Symbol.dispose]();
  });
  socket.on('message', (data, isBinary) => {
    const bytes = toBuffer(data);
    if (isBinary) return typeInto(terminal, pace, bytes);
    pace.count();
    if (!control(terminal, bytes.toString())) socket.close(BAD_MESSAGE, 'unknown message');
  });
}

/** Reads no more from who types faster than the program reads. */
function typeInto(terminal: Terminal, pace: ControlPace, bytes: Buffer): void {
  const full = terminal.type(bytes);
  void full?.then(pace.hold());
}

/** Obeys a text message. Returns whether there is such a message. */
function control(terminal: Terminal, text: string): boolean {
  const message = parse(text);
  if (message?.['type'] !== 'resize') return false;
  const size = { rows: message['rows'], cols: message['cols'] };
  if (!isSize(size)) return false;
  terminal.resize(size);
  return true;
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

/** Ends a connection whose other end has gone without a word. Returns how to stop that. */
function askWhetherThere(socket: WebSocket): () => void {
  let isThere = true;
  const heard = () => {
    isThere = true;
  };
  socket.on('pong', heard);
  socket.on('message', heard);
  const timer = setInterval(() => {
    // One that is not read at the moment cannot be heard.
    if (!isThere && !socket.isPaused) return socket.terminate();
    isThere = false;
    socket.ping();
  }, PING_MS);
  return () => clearInterval(timer);
}

function toBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
