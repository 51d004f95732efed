import type { Config } from '../config/load.ts';
import { GloveboxError } from '../errors.ts';
import type { ExecutionEvent } from '../execution/result.ts';
import { Glovebox } from '../library/glovebox.ts';
import type { Session } from '../library/session.ts';
import { InstanceTaken } from '../state/instance.ts';
import type {
  CallOptions,
  Client,
  ClientExecution,
  ClientFile,
  ClientProgram,
  ClientSession,
  ClientSnapshot,
  CommandOptions,
  InstallEnd,
  OpenedSession,
  ProgramEnd,
  ProgramOptions,
} from './client.ts';
import { showLocally } from './local-terminal.ts';
import type { ClientTerminal, ClientTerminalOptions } from './terminal.ts';

/** Instance whose sessions commands without a server share. They are archived between two commands. */
const SHARED_INSTANCE = 'commands';

export interface LocalOptions {
  /** Whether the command uses named sessions, which outlive it. Only one such command runs at a time. */
  readonly keepsSessions: boolean;
  readonly onProgress: (message: string) => void;
  readonly signal: AbortSignal;
}

function noExecutionLeft(): GloveboxError {
  return new GloveboxError('execution_not_found', 'Without a server, no execution outlives the command that ran it.', {
    hint: 'Start a server with: glovebox serve. It keeps the last executions and their output.',
  });
}

function noTerminalLeft(): GloveboxError {
  return new GloveboxError('terminal_not_found', 'Without a server, no terminal outlives the command that opened it.', {
    hint: 'Start a server with: glovebox serve. Its terminals go on when they are left.',
  });
}

/** An engine of this machine, used through the library for the time of one command. */
export class LocalClient implements Client {
  readonly place = "this machine's container engine";
  readonly isServer = false;
  readonly #glovebox: Glovebox;
  readonly #keepsSessions: boolean;

  private constructor(glovebox: Glovebox, keepsSessions: boolean) {
    this.#glovebox = glovebox;
    this.#keepsSessions = keepsSessions;
  }

  /** @throws GloveboxError `engine_unavailable` where no engine answers, `session_busy` while another command runs */
  static async open(config: Config, { keepsSessions, onProgress, signal }: LocalOptions): Promise<LocalClient> {
    const { instance, ...settings } = config;
    const named = keepsSessions ? { instance: instance ?? SHARED_INSTANCE } : {};
    // It serves one call: nothing is started ahead for the next.
    const own: Config = { ...settings, ...named, setup: 'never', poolSize: 0, poolMax: 0, onShutdown: 'remove' };
    try {
      return new LocalClient(await Glovebox.openWith(own, { onProgress, signal }), keepsSessions);
    } catch (error) {
      if (!(error instanceof InstanceTaken)) throw error;
      throw new GloveboxError('session_busy', 'Another command uses the sessions of this machine.', {
        hint: 'Wait for its end. Or start a server, which all commands then use at the same time: glovebox serve',
        cause: error,
      });
    }
  }

  async open({ name, snapshot }: { name?: string | undefined; snapshot?: string | undefined }): Promise<OpenedSession> {
    const { id, created } = await this.#glovebox.sessions.open({ name, snapshot });
    return { id, created };
  }

  async run(session: string, code: string, options: ProgramOptions): Promise<ProgramEnd> {
    return await this.#get(session).run(code, { ...options, onEvent: withoutCalls(options) });
  }

  async command(session: string, words: readonly string[], options: CommandOptions): Promise<ProgramEnd> {
    return await this.#get(session).command(words, { ...options, onEvent: withoutCalls(options) });
  }

  async startCommand(): Promise<string> {
    throw noExecutionLeft();
  }

  async install(session: string, packages: readonly string[], options: CallOptions): Promise<InstallEnd> {
    return await this.#get(session).install(packages, options);
  }

  async write(session: string, path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#get(session).files.write(path, content);
  }

  read(session: string, path: string): AsyncIterable<Uint8Array> {
    return this.#get(session).files.stream(path);
  }

  async list(session: string, path: string): Promise<{ files: readonly ClientFile[]; truncated: boolean }> {
    const { files } = this.#get(session);
    const found = await files.stat(path || '.');
    if (found.type !== 'directory') return { files: [found], truncated: false };
    const { entries, truncated } = await files.list(path, { recursive: true });
    return { files: entries, truncated };
  }

  async sessions(): Promise<readonly ClientSession[]> {
    return this.#glovebox.sessions.list();
  }

  async executions(): Promise<readonly ClientExecution[]> {
    return [];
  }

  async programs(session: string): Promise<readonly ClientProgram[]> {
    return this.#get(session).executions.map(({ id, startedAt, status, program }) => ({
      ...{ id, startedAt, status },
      ...program,
    }));
  }

  async input(): Promise<void> {
    throw noExecutionLeft();
  }

  async signal(): Promise<void> {
    throw noExecutionLeft();
  }

  async output(): Promise<void> {
    throw noExecutionLeft();
  }

  async terminal(session: string, options: ClientTerminalOptions): Promise<ClientTerminal> {
    if (options.attach !== undefined) throw noTerminalLeft();
    const { rows, cols, command, cwd, env } = options;
    const terminal = await this.#get(session).terminal({
      ...{ rows, cols },
      ...(command ? { command } : {}),
      ...(cwd === undefined ? {} : { cwd }),
      ...(env ? { env } : {}),
    });
    return showLocally(terminal, options);
  }

  async close(session: string): Promise<void> {
    await this.#get(session).close();
  }

  async snapshot(session: string): Promise<ClientSnapshot> {
    return await this.#get(session).snapshot();
  }

  async fork(session: string, name: string | undefined): Promise<OpenedSession> {
    const { id, created } = await this.#get(session).fork({ name });
    return { id, created };
  }

  async snapshots(): Promise<readonly ClientSnapshot[]> {
    return await this.#glovebox.snapshots.list();
  }

  async deleteSnapshot(id: string): Promise<void> {
    await this.#glovebox.snapshots.delete(id);
  }

  /** Archives the sessions that outlive the command, and removes all containers. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#keepsSessions) await this.#archive();
    } finally {
      await this.#glovebox.close();
    }
  }

  async #archive(): Promise<void> {
    const awake = this.#glovebox.sessions.list().filter(({ state }) => state === 'active');
    await Promise.all(awake.map(({ id }) => this.#get(id).hibernate()));
  }

  #get(session: string): Session {
    return this.#glovebox.sessions.get(session);
  }
}

/** What it calls is in the log of whoever lets it call. */
function withoutCalls({ onEvent }: CallOptions): (event: ExecutionEvent) => void | Promise<void> {
  return (event) => (event.type === 'tool_call' ? undefined : onEvent(event));
}
