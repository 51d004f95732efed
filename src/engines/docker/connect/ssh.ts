import { type ChildProcess, spawn } from 'node:child_process';
import { Agent } from 'node:http';
import { Duplex } from 'node:stream';

/**
 * Connects to an engine through the user's `ssh`, as the Docker CLI does, with its configuration, keys, agent and known
 * hosts. dockerode's own SSH client is not used, because it accepts any host key.
 */
export class SshAgent extends Agent {
  readonly #command: readonly [string, ...string[]];

  constructor(command: readonly [string, ...string[]]) {
    super({ keepAlive: true });
    this.#command = command;
  }

  override createConnection(): Duplex {
    const [program, ...args] = this.#command;
    return new ProcessSocket(spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] }));
  }
}

/** The command for an `ssh://` address, as in the Docker CLI. It never asks for a password. */
export function sshCommand(address: URL): [string, ...string[]] {
  return [
    'ssh',
    ...['-T', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10'],
    ...(address.username ? ['-l', decodeURIComponent(address.username)] : []),
    ...(address.port ? ['-p', address.port] : []),
    '--',
    address.hostname,
    ...['docker', 'system', 'dial-stdio'],
  ];
}

/** A socket for Node's HTTP client, made of the standard streams of a process. */
class ProcessSocket extends Duplex {
  readonly #child: ChildProcess & { stdin: NodeJS.WritableStream; stdout: NodeJS.ReadableStream };

  constructor(child: ChildProcess & { stdin: NodeJS.WritableStream; stdout: NodeJS.ReadableStream }) {
    super();
    this.#child = child;
    child.on('error', (error) => this.destroy(error));
    child.stdin.on('error', (error) => this.destroy(error));
    child.stdout.on('data', (chunk) => {
      if (!this.push(chunk)) child.stdout.pause();
    });
    child.stdout.on('end', () => this.push(null));
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.kill();
    done(error);
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    this.#child.ref();
    return this;
  }

  unref(): this {
    this.#child.unref();
    return this;
  }
}
