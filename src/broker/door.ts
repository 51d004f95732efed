import type { Duplex } from 'node:stream';
import { z } from 'zod';
import type { Log } from '../log.ts';
import type { Grant, Grants } from './grants.ts';
import { RequestLines } from './request-lines.ts';
import { type ServerCatalog, ToolFailure, type ToolFailureBody, type ToolPart } from './types.ts';

/** Bytes of one request. */
const LONGEST_LINE = 1024 * 1024;

const token = z.string().max(256);
const name = z.string().max(256);
const requestSchema = z.discriminatedUnion('op', [
  z.object({ op: z.literal('catalog'), token }),
  z.object({ op: z.literal('call'), token, server: name, tool: name, arguments: z.record(z.string(), z.unknown()) }),
  z.object({ op: z.literal('read'), token, server: name, uri: z.string().max(8192) }),
]);
type Request = z.infer<typeof requestSchema>;

export interface DoorOptions {
  /** Session whose code has made the connection. */
  readonly session: { readonly owner: string; readonly id: string };
  readonly grants: Pick<Grants, 'find'>;
  readonly log: Log;
}

/**
 * Serves a connection of code to tools. A request is one line of JSON, and so is its answer; one follows the other. The
 * connection ends with the grant that it uses, and a connection that ends aborts its call.
 */
export function serveDoor(stream: Duplex, options: DoorOptions): void {
  new Door(stream, options).serve();
}

class Door {
  readonly #stream: Duplex;
  readonly #options: DoorOptions;
  readonly #gone = new AbortController();
  /** Grant of the requests so far. */
  #grant: Grant | undefined;
  readonly #received = new RequestLines();
  #isBusy = false;
  /** Whether the last answer has been sent, or is on its way. */
  #isOver = false;

  constructor(stream: Duplex, options: DoorOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  serve(): void {
    const stream = this.#stream;
    const end = () => {
      this.#gone.abort();
      stream.destroy();
    };
    stream.on('error', end);
    stream.on('close', end);
    stream.on('end', end);
    stream.on('data', (chunk: Buffer) => {
      if (this.#isOver) return;
      this.#received.append(chunk);
      if (!this.#isBusy) void this.#handle();
      else if (this.#received.length > LONGEST_LINE) end();
    });
  }

  /** Answers the requests that have come, one after the other. */
  async #handle(): Promise<void> {
    this.#isBusy = true;
    try {
      for (let line = this.#takeLine(); line !== undefined; line = this.#takeLine()) {
        if (!(await this.#answer(line))) return;
      }
      if (this.#received.length > LONGEST_LINE) await this.#refuse(`A request is longer than ${LONGEST_LINE} bytes.`);
    } catch (error) {
      if (!this.#gone.signal.aborted) this.#options.log.error('a connection to tools failed', { error });
      this.#stream.destroy();
    } finally {
      this.#isBusy = false;
    }
  }

  #takeLine(): string | undefined {
    return this.#gone.signal.aborted ? undefined : this.#received.take();
  }

  /** Answers one request. Returns whether the connection goes on. */
  async #answer(line: string): Promise<boolean> {
    const request = line.length > LONGEST_LINE ? undefined : parseRequest(line);
    if (!request) return await this.#refuse('This is no request for tools.');
    const grant = this.#options.grants.find(request.token, this.#options.session);
    if (!grant) return await this.#end({ ok: false, error: NO_GRANT });
    this.#use(grant);
    try {
      await carryOut(grant, request, this.#gone.signal, this.#send);
      return !this.#gone.signal.aborted;
    } catch (error) {
      return await this.#send({ ok: false, error: this.#toBody(error, grant) });
    }
  }

  #use(grant: Grant): void {
    if (this.#grant === grant) return;
    this.#grant = grant;
    const close = () => this.#stream.destroy();
    grant.signal.addEventListener('abort', close, { once: true });
    this.#gone.signal.addEventListener('abort', () => grant.signal.removeEventListener('abort', close), { once: true });
  }

  #toBody(error: unknown, { signal }: Grant): ToolFailureBody {
    if (error instanceof ToolFailure) return error.body;
    if (!this.#gone.signal.aborted && !signal.aborted) this.#options.log.error('A call of a tool failed.', { error });
    return FAILED;
  }

  async #refuse(message: string): Promise<false> {
    return await this.#end({ ok: false, error: { code: 'bad_arguments', message, hint: 'Use the module tools.' } });
  }

  async #end(answer: unknown): Promise<false> {
    this.#isOver = true;
    await this.#send(answer);
    this.#stream.end();
    return false;
  }

  /** Sends an answer as fast as the code reads it. Returns whether it was sent. */
  readonly #send = (answer: unknown): Promise<boolean> => {
    if (this.#gone.signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const onGone = () => resolve(false);
      this.#gone.signal.addEventListener('abort', onGone, { once: true });
      this.#stream.write(`${JSON.stringify(answer)}\n`, () => {
        this.#gone.signal.removeEventListener('abort', onGone);
        resolve(!this.#gone.signal.aborted);
      });
    });
  };
}

const NO_GRANT: ToolFailureBody = {
  code: 'denied',
  message: 'This process has no access to tools: the execution that had it is over.',
  hint: 'Tools can be called only while the execution runs that was given them.',
};

const FAILED: ToolFailureBody = {
  code: 'upstream',
  message: 'Something went wrong inside Glovebox.',
  hint: "Try again. If it fails again, look in the server's log.",
};

function parseRequest(line: string): Request | undefined {
  try {
    return requestSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** The form in which code gets the tools of a server. */
function toWire({ name, description, tools, error }: ServerCatalog): object {
  const listed = tools.map(({ inputSchema, outputSchema, ...tool }) => ({
    ...{ name: tool.name, python: tool.python, description: tool.description, input_schema: inputSchema },
    ...(outputSchema ? { output_schema: outputSchema } : {}),
  }));
  return { name, description, tools: listed, ...(error ? { error } : {}) };
}

async function carryOut(
  grant: Grant,
  request: Request,
  signal: AbortSignal,
  send: (answer: unknown) => Promise<boolean>,
): Promise<void> {
  const deliver = async (parts: readonly ToolPart[]) => void (await send({ ok: true, parts }));
  switch (request.op) {
    case 'catalog':
      return void (await send({ ok: true, servers: (await grant.catalog(signal)).map(toWire) }));
    case 'call':
      return await grant.call(request, signal, deliver);
    case 'read':
      return await grant.read(request, signal, deliver);
  }
}
