import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { readServerEvents } from '../lib/sockets/server-events.ts';
import {
  displayEvent,
  executionsAnswer,
  installAnswer,
  listingAnswer,
  programAnswer,
  programsAnswer,
  progressEvent,
  readAnswer,
  readingAnswer,
  sessionAnswer,
  sessionsAnswer,
  snapshotAnswer,
  snapshotsAnswer,
  startedAnswer,
  terminalAnswer,
  textEvent,
} from './answers.ts';
import type {
  CallOptions,
  Client,
  ClientEvent,
  ClientExecution,
  ClientFile,
  ClientInput,
  ClientProgram,
  ClientSession,
  ClientSnapshot,
  CommandOptions,
  InstallEnd,
  OnClientEvent,
  OpenedSession,
  OutputOptions,
  ProgramEnd,
  ProgramOptions,
  StartCommandOptions,
} from './client.ts';
import { errorIn, readJson, type Sent, type Server, send, wentAway } from './requests.ts';
import { sendInput } from './send-input.ts';
import type { ClientTerminal, ClientTerminalOptions } from './terminal.ts';

/** A server that runs, over its REST API. */
export class RemoteClient implements Client {
  readonly isServer = true;
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  get place(): string {
    return `the server at ${this.#server.url}`;
  }

  async open({ name, snapshot }: { name?: string | undefined; snapshot?: string | undefined }): Promise<OpenedSession> {
    const response = await send(this.#server, '/sessions', { method: 'POST', json: { name, from_snapshot: snapshot } });
    const { id } = readAnswer(sessionAnswer, await response.json());
    return { id, created: response.status === 201 };
  }

  async run(session: string, code: string, { args = [], stdin, web, ...options }: ProgramOptions): Promise<ProgramEnd> {
    const given = { code, session_id: session, ...(args.length > 0 ? { args } : {}), ...(web ? { web } : {}) };
    return await this.#call('execute_python', given, programAnswer, { ...options, stdin });
  }

  async command(session: string, command: readonly string[], options: CommandOptions): Promise<ProgramEnd> {
    const { cwd, env, ...others } = options;
    return await this.#call('run_command', { command, cwd, env, session_id: session }, programAnswer, others);
  }

  async startCommand(session: string, command: readonly string[], options: StartCommandOptions): Promise<string> {
    const { cwd, env, timeoutMs, stdinOpen } = options;
    const given = {
      ...{ command, cwd, env, session_id: session, background: true, stdin_open: stdinOpen },
      ...(timeoutMs === undefined ? {} : { timeout_s: timeoutMs / 1000 }),
    };
    const sent: Sent = { method: 'POST', json: { name: 'run_command', arguments: given } };
    return readAnswer(startedAnswer, await this.#json('/execute', sent)).result.execution_id;
  }

  async install(session: string, packages: readonly string[], options: CallOptions): Promise<InstallEnd> {
    return await this.#call('install_dependencies', { packages, session_id: session }, installAnswer, options);
  }

  async write(session: string, path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#json(filePath(session, path), { method: 'PUT', bytes: content });
  }

  async *read(session: string, path: string): AsyncGenerator<Uint8Array, void, undefined> {
    const { body } = await send(this.#server, filePath(session, path));
    if (body) yield* this.#untilBroken(body);
  }

  async list(session: string, path: string): Promise<{ files: readonly ClientFile[]; truncated: boolean }> {
    const query = new URLSearchParams({ path, recursive: '1' });
    return readAnswer(listingAnswer, await this.#json(`${sessionPath(session)}/files?${query}`));
  }

  async sessions(): Promise<readonly ClientSession[]> {
    return readAnswer(sessionsAnswer, await this.#json('/sessions')).sessions;
  }

  async executions(): Promise<readonly ClientExecution[]> {
    return readAnswer(executionsAnswer, await this.#json('/executions')).executions;
  }

  async programs(session: string): Promise<readonly ClientProgram[]> {
    return readAnswer(programsAnswer, await this.#json(`${sessionPath(session)}/executions`)).executions;
  }

  async input(execution: string, json: ClientInput): Promise<void> {
    await this.#json(`${executionPath(execution)}/input`, { method: 'POST', json });
  }

  async signal(execution: string, signal: string): Promise<void> {
    await this.#json(`${executionPath(execution)}/signal`, { method: 'POST', json: { signal } });
  }

  async output(execution: string, { signal, onEvent, follows }: OutputOptions): Promise<void> {
    const path = executionPath(execution);
    if (follows) {
      await this.#readToEnd(await send(this.#server, `${path}/events`, { signal }), z.unknown(), onEvent);
      return;
    }
    // Long output is read in several parts.
    let next = { stdout_offset: 0, stderr_offset: 0 };
    for (;;) {
      const query = `stdout_offset=${next.stdout_offset}&stderr_offset=${next.stderr_offset}`;
      const reading = readAnswer(readingAnswer, await this.#json(`${path}?${query}`, { signal }));
      if (reading.stdout !== '') await onEvent({ type: 'stdout', text: reading.stdout });
      if (reading.stderr !== '') await onEvent({ type: 'stderr', text: reading.stderr });
      if (reading.stdout === '' && reading.stderr === '') return;
      next = reading.next;
    }
  }

  async terminal(session: string, options: ClientTerminalOptions): Promise<ClientTerminal> {
    const { RemoteTerminal } = await import('./remote-terminal.ts');
    const { rows, cols, attach, command, cwd, env } = options;
    const open = async () => {
      const sent: Sent = { method: 'POST', json: { rows, cols, command, cwd, env }, signal: options.signal };
      return readAnswer(terminalAnswer, await this.#json(`${sessionPath(session)}/terminals`, sent)).terminal_id;
    };
    return new RemoteTerminal(this.#server, session, attach ?? (await open()), options);
  }

  async close(session: string): Promise<void> {
    await send(this.#server, sessionPath(session), { method: 'DELETE' });
  }

  async snapshot(session: string): Promise<ClientSnapshot> {
    return readAnswer(snapshotAnswer, await this.#json(`${sessionPath(session)}/snapshots`, { method: 'POST' }));
  }

  async fork(session: string, name: string | undefined): Promise<OpenedSession> {
    const answer = await this.#json(`${sessionPath(session)}/fork`, { method: 'POST', json: { name } });
    return { id: readAnswer(sessionAnswer, answer).id, created: true };
  }

  async snapshots(): Promise<readonly ClientSnapshot[]> {
    return readAnswer(snapshotsAnswer, await this.#json('/snapshots')).snapshots;
  }

  async deleteSnapshot(id: string): Promise<void> {
    await send(this.#server, `/snapshots/${encodeURIComponent(id)}`, { method: 'DELETE' });
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Calls a tool and follows it. When the signal aborts, the server cancels the call and still tells how it ended. */
  async #call<T>(
    name: string,
    given: object,
    answer: z.ZodType<T>,
    { timeoutMs, stdin, asBytes, signal, onEvent }: CallOptions & Pick<CommandOptions, 'stdin' | 'asBytes'>,
  ): Promise<T> {
    const headers = { 'idempotency-key': randomUUID() };
    const time = timeoutMs === undefined ? {} : { timeout_s: timeoutMs / 1000 };
    const json = { name, arguments: { ...given, ...time } };
    const lost = new AbortController();
    const ended = new AbortController();
    const cancel = () => {
      send(this.#server, '/execute/stream', { method: 'DELETE', headers }).catch((error: unknown) => lost.abort(error));
    };
    signal.throwIfAborted();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const sent: Sent = { method: 'POST', json, headers, signal: lost.signal };
      const query = [...(stdin ? ['stdin=1'] : []), ...(asBytes ? ['bytes=1'] : [])].join('&');
      const response = await send(this.#server, `/execute/stream${query === '' ? '' : `?${query}`}`, sent);
      if (stdin) sendInput(this.#server, stdin, { headers, signal: ended.signal });
      return (await this.#readToEnd(response, z.object({ result: answer }), onEvent)).result;
    } finally {
      signal.removeEventListener('abort', cancel);
      ended.abort();
    }
  }

  /** Reads a stream of events to its result. @throws GloveboxError of its `error`, or when it ends without either */
  async #readToEnd<T>(response: Response, answer: z.ZodType<T>, onEvent: OnClientEvent): Promise<T> {
    const { url } = this.#server;
    if (response.body) {
      for await (const { event, data } of readServerEvents(this.#untilBroken(response.body))) {
        const parsed: unknown = JSON.parse(data);
        if (event === 'result') return readAnswer(answer, parsed);
        if (event === 'error') throw errorIn(parsed) ?? wentAway(url);
        const told = toClientEvent(event, parsed);
        if (told) await onEvent(told);
      }
    }
    throw wentAway(url);
  }

  /** The bytes of a body. @throws GloveboxError when the connection breaks before its end */
  async *#untilBroken(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* body;
    } catch (error) {
      throw wentAway(this.#server.url, error);
    }
  }

  async #json(path: string, sent?: Sent): Promise<unknown> {
    return await readJson(this.#server, path, sent);
  }
}

function toClientEvent(event: string, data: unknown): ClientEvent | undefined {
  switch (event) {
    case 'stdout':
    case 'stderr':
      return toOutputEvent(event, data);
    case 'display':
      return { type: event, display: readAnswer(displayEvent, data).result };
    case 'progress':
      return { type: event, message: readAnswer(progressEvent, data).message };
    default:
      return undefined;
  }
}

function toOutputEvent(type: 'stdout' | 'stderr', data: unknown): ClientEvent {
  const { text, base64 } = readAnswer(textEvent, data);
  return { type, text, ...(base64 === undefined ? {} : { bytes: Buffer.from(base64, 'base64') }) };
}

function sessionPath(session: string): string {
  return `/sessions/${encodeURIComponent(session)}`;
}

function executionPath(execution: string): string {
  return `/executions/${encodeURIComponent(execution)}`;
}

function filePath(session: string, path: string): string {
  return `${sessionPath(session)}/files/${path.split('/').map(encodeURIComponent).join('/')}`;
}
