import { address, call } from './client.ts';
import { ApiError } from './error.ts';
import { currentKey } from './key.ts';

/** Interval of the attempts to reach a terminal again, in milliseconds. */
const AGAIN_MS = 1500;
/** Characters of one message: a long paste is several. */
const PIECE = 16 * 1024;

export interface TerminalEnd {
  readonly exitCode: number | null;
  readonly reason: string;
}

export interface TerminalHandlers {
  /** Takes what is printed. `isPast`: it was printed before, when questions to a terminal had their answers already. */
  readonly onBytes: (bytes: Uint8Array, isPast: boolean) => void;
  readonly onSkipped: (bytes: number) => void;
  readonly onEnd: (end: TerminalEnd) => void;
  /** Called when the connection is there, and when it broke and is made again. */
  readonly onConnection: (isThere: boolean) => void;
  /** Called when there is no such terminal any more, or it may not be seen. */
  readonly onRefused: () => void;
}

/** Terminal as a list shows it. */
export interface ListedTerminal {
  readonly terminal_id: string;
  readonly running: boolean;
  readonly exit_code?: number | null;
  readonly reason?: string;
}

interface Message {
  readonly type: string;
  readonly offset?: number;
  readonly live?: number;
  readonly bytes?: number;
  readonly exit_code?: number | null;
  readonly reason?: string;
}

export async function listTerminals(session: string, signal?: AbortSignal): Promise<ListedTerminal[]> {
  return (await call<{ terminals: ListedTerminal[] }>(terminalsOf(session), { signal })).terminals;
}

/** A WebSocket to a terminal. When the line breaks it is opened again, and what was missed comes then. */
export class TerminalSocket {
  readonly #session: string;
  readonly #terminal: string;
  readonly #handlers: TerminalHandlers;
  #socket: WebSocket;
  /** Offset of the next byte; undefined before the first. */
  #offset: number | undefined;
  /** Offset from which on bytes were not printed before the connection was there. */
  #live = 0;
  #isOver = false;
  #size: { readonly rows: number; readonly cols: number } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(session: string, terminal: string, handlers: TerminalHandlers) {
    this.#session = session;
    this.#terminal = terminal;
    this.#handlers = handlers;
    this.#socket = this.#connect();
  }

  type(text: string): void {
    for (let at = 0; at < text.length; at += PIECE) this.#send(new TextEncoder().encode(text.slice(at, at + PIECE)));
  }

  /** Types bytes, each of which is a character. */
  typeBytes(text: string): void {
    this.#send(Uint8Array.from(text, (character) => character.charCodeAt(0)));
  }

  resize(rows: number, cols: number): void {
    this.#size = { rows, cols };
    this.#sendSize();
  }

  close(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  #connect(): WebSocket {
    const route = `${terminalsOf(this.#session)}/${encodeURIComponent(this.#terminal)}/attach`;
    const url = address(route);
    url.protocol = url.protocol.replace('http', 'ws');
    if (this.#offset !== undefined) url.searchParams.set('from', String(this.#offset));
    const socket = new WebSocket(url, ['glovebox.terminal', ...keyProtocol()]);
    socket.binaryType = 'arraybuffer';
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      this.#handlers.onConnection(true);
      this.#sendSize();
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === 'string') this.#obey(JSON.parse(data) as Message);
      else this.#print(data);
    };
    socket.onclose = () => {
      if (this.#isOver) return;
      this.#handlers.onConnection(false);
      this.#timer = setTimeout(() => void (wasOpen ? this.#again() : this.#look()), AGAIN_MS);
    };
    return socket;
  }

  #again(): void {
    this.#socket = this.#connect();
  }

  /** Looks what has become of a terminal that cannot be connected to. */
  async #look(): Promise<void> {
    const listed = await listTerminals(this.#session).catch((thrown: unknown) => thrown);
    if (this.#isOver) return;
    const found = Array.isArray(listed) ? listed.find(({ terminal_id: id }) => id === this.#terminal) : undefined;
    if (found?.running || (listed instanceof ApiError && listed.status === 0)) this.#again();
    else if (found) this.#handlers.onEnd({ exitCode: found.exit_code ?? null, reason: found.reason ?? '' });
    else this.#handlers.onRefused();
  }

  #print(data: ArrayBuffer): void {
    const from = this.#offset ?? 0;
    this.#offset = from + data.byteLength;
    this.#handlers.onBytes(new Uint8Array(data), from < this.#live);
  }

  #obey({ type, ...message }: Message): void {
    if (type === 'attached') {
      this.#offset = message.offset ?? 0;
      this.#live = message.live ?? 0;
    } else if (type === 'skipped') {
      this.#offset = (this.#offset ?? 0) + (message.bytes ?? 0);
      this.#handlers.onSkipped(message.bytes ?? 0);
    } else if (type === 'ended') {
      this.#isOver = true;
      this.#handlers.onEnd({ exitCode: message.exit_code ?? null, reason: message.reason ?? '' });
    }
  }

  #send(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(data);
  }

  #sendSize(): void {
    if (this.#size) this.#send(JSON.stringify({ type: 'resize', ...this.#size }));
  }
}

function terminalsOf(session: string): string {
  return `/sessions/${encodeURIComponent(session)}/terminals`;
}

/** The key as a subprotocol: a browser sends no headers with a WebSocket. The server does not repeat it. */
function keyProtocol(): string[] {
  const key = currentKey();
  if (key === undefined) return [];
  const base64 = btoa(key).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  return [`glovebox.key.${base64}`];
}
