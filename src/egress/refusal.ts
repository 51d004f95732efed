import type { LevelName } from './policy/policy.ts';
import type { WebRefusal } from './web-access.ts';

/** Characters of a message, which clients show from the status line. */
const LONGEST_MESSAGE = 200;
/** Characters of a host in a message. */
const LONGEST_HOST = 80;

/** Ends a request because it may not be made. */
export class Refused extends Error {
  readonly refusal: WebRefusal;

  constructor(refusal: WebRefusal, options: { cause?: unknown } = {}) {
    super(refusal.message, options);
    this.name = 'Refused';
    this.refusal = { ...refusal, message: toStatusText(refusal.message) };
  }
}

/** Ends a request that is no valid one of HTTP, or that has no valid token. */
export class BadRequest extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    message: string,
    { headers = {}, cause }: { readonly headers?: Readonly<Record<string, string>>; readonly cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.name = 'BadRequest';
    this.status = status;
    this.headers = headers;
  }
}

/** Ends a request because the other side cannot be reached, or answers nothing that can be passed on. */
export class Unreachable extends Error {
  readonly status: 502 | 504;

  constructor(message: string, { status = 502, cause }: { status?: 502 | 504; cause?: unknown } = {}) {
    super(message, { cause });
    this.name = 'Unreachable';
    this.status = status;
  }
}

const AT_LEVEL: Readonly<Record<LevelName, readonly [where: string, whatToDo: string]>> = {
  operator: ['GLOVEBOX_EGRESS', 'The operator can add it there.'],
  key: ['what the key of this owner allows', 'The operator can make a key with: --web'],
  session: ['the "web" of this session', 'Use a session that names it.'],
  call: ['the "web" of this call', 'Name it there.'],
};

export function hostNotNamed(host: string, port: number, level: LevelName): Refused {
  const [where, whatToDo] = AT_LEVEL[level];
  const message = `The host ${shorten(host)} is not in ${where}. ${whatToDo}`;
  return new Refused({ host, port, rule: 'host', message });
}

/** @param ports those that are named */
export function portNotNamed(host: string, port: number, level: LevelName, ports: string): Refused {
  const [where, whatToDo] = AT_LEVEL[level];
  const message = `Port ${port} of ${shorten(host)} is not in ${where} (${ports.slice(0, 40)} is). ${whatToDo}`;
  return new Refused({ host, port, rule: 'port', message });
}

/** The message names no address: code may learn names, but not how networks inside are laid out. */
export function privateAddress(host: string, port: number, cause?: Error): Refused {
  const message = `${shorten(host)} is at a private or local address. The operator can name its network in GLOVEBOX_EGRESS_PRIVATE.`;
  return new Refused({ host, port, rule: 'address', message }, { cause });
}

export type WebLimit = NonNullable<WebRefusal['limit']>;

export function limitMet(host: string, port: number, message: string, limit: WebLimit): Refused {
  return new Refused({ host, port, rule: 'limit', message, limit });
}

/** A text for the status line: printable ASCII, and not long. */
export function toStatusText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, LONGEST_MESSAGE);
}

function shorten(host: string): string {
  return host.length > LONGEST_HOST ? `${host.slice(0, LONGEST_HOST)}...` : host;
}
