import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Engine, EngineInfo, SandboxInfo, SandboxSpec } from '../../sandbox/engine.ts';
import { demultiplex } from './demux.ts';
import { containerOptions, killExecOptions, LABELS, PROCESS_COLUMNS, runnerExecOptions } from './hardening/spec.ts';
import { statusOf } from './inspect.ts';

/** Most that a runner's stderr adds to the log: it says something only when it is broken, or in hostile hands. */
const STDERR_LIMIT = 2048;

/** A loaded engine takes seconds to start a container; one that takes longer than this hangs. */
const ANSWER_LIMIT_MS = 30_000;
/** Between two attempts to remove what an engine that was down, or hung, could not. */
const REMOVE_AGAIN_MS = 5000;

/** Sandboxes as containers of a Docker-compatible engine. */
export class DockerEngine implements Engine {
  readonly #docker: Docker;
  readonly #log: Log;
  /** What is still to be removed. */
  readonly #doomed = new Set<string>();

  constructor(docker: Docker, log: Log) {
    this.#docker = docker;
    this.#log = log;
  }

  async start(spec: SandboxSpec): Promise<string> {
    const options = containerOptions(spec);
    const creating = this.#docker.createContainer(options);
    try {
      const container = await explain(creating);
      await explain(container.start());
      return container.id;
    } catch (error) {
      // By name, because an engine whose answer was lost may have made it all the same.
      if (options.name) await this.remove(options.name).catch(() => {});
      // One that answers only later may have made it after that.
      void creating.then(({ id }) => this.remove(id)).catch(() => {});
      throw error;
    }
  }

  async connect(id: string, uid: number): Promise<Duplex> {
    const exec = await explain(this.#docker.getContainer(id).exec(runnerExecOptions(uid)));
    const stream = await explain(exec.start({ hijack: true, stdin: true }), (late) => late.destroy());
    let logged = 0;
    return demultiplex(stream, (chunk) => {
      if (logged < STDERR_LIMIT)
        this.#log.warn('a runner wrote to stderr', {
          sandbox: id.slice(0, 12),
          text: chunk.toString('utf8', 0, STDERR_LIMIT),
        });
      logged += chunk.length;
    });
  }

  async killUser(id: string, uid: number): Promise<boolean> {
    const exec = await explain(this.#docker.getContainer(id).exec(killExecOptions(uid)));
    const stream = await explain(exec.start({ hijack: true, stdin: false }), (late) => late.destroy());
    let hasSpoken = false;
    stream.on('data', () => {
      hasSpoken = true;
    });
    // The stream ends with the shell that kills, or breaks with the engine; `hasProcesses` then says how things are.
    await new Promise((resolve) => stream.once('close', resolve).once('end', resolve).once('error', resolve));
    return hasSpoken;
  }

  async hasProcesses(id: string, uid: number): Promise<boolean> {
    const top = await explain(this.#docker.getContainer(id).top({ ps_args: PROCESS_COLUMNS }));
    const processes: string[][] = top.Processes ?? [];
    return processes.some(([, owner, state]) => Number(owner) === uid && !state?.startsWith('Z'));
  }

  async remove(id: string): Promise<void> {
    try {
      await explain(this.#docker.getContainer(id).remove({ force: true, v: true }));
    } catch (error) {
      const isGone = error instanceof GloveboxError && error.code === 'sandbox_lost';
      // Another call is removing it, and may fail.
      if (!isGone || statusOf(error.cause) === 409) this.#removeLater(id);
      if (!isGone) throw error;
    }
  }

  async list(uid?: number): Promise<SandboxInfo[]> {
    const label = [LABELS.key, ...(uid === undefined ? [] : [`${LABELS.uid}=${uid}`])];
    const containers = await explain(this.#docker.listContainers({ all: true, filters: { label } }));
    return containers.map(({ Id, Labels, State }) => ({
      id: Id,
      key: Labels[LABELS.key] ?? '',
      instance: Labels[LABELS.instance] ?? '',
      uid: Number(Labels[LABELS.uid]),
      running: State === 'running',
    }));
  }

  async info(): Promise<EngineInfo> {
    const version = await explain(this.#docker.version());
    return { name: version.Platform?.Name || 'Docker Engine', version: version.Version };
  }

  /** Over and over: an engine that is down now keeps what it has, and may be back in a moment. */
  #removeLater(id: string): void {
    if (this.#doomed.has(id)) return;
    this.#doomed.add(id);
    const again = () => {
      this.#doomed.delete(id);
      this.remove(id).catch(() => {});
    };
    setTimeout(again, REMOVE_AGAIN_MS).unref();
  }
}

/**
 * The engine's answer, or what its error means here; no answer within the limit is one.
 * @param onLate takes an answer that comes after that
 */
async function explain<T>(call: Promise<T>, onLate: (answer: T) => void = () => {}): Promise<T> {
  const silence = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    call.then(onLate, () => {});
    silence.reject(new Error('no answer'));
  }, ANSWER_LIMIT_MS);
  try {
    return await Promise.race([call, silence.promise]);
  } catch (error) {
    throw translate(error);
  } finally {
    clearTimeout(timer);
  }
}

/** What an error of the engine means here: the sandbox is gone, or the engine cannot do its part. */
function translate(error: unknown): GloveboxError {
  const status = statusOf(error);
  const reason = reasonOf(error);
  if (status === 404 && /no such image/i.test(reason)) {
    return new GloveboxError('engine_unavailable', 'The sandbox image is missing from the engine.', {
      hint: 'Restart Glovebox: it builds the image anew.',
      cause: error,
    });
  }
  if (status === 404 || (status === 409 && /not running|is paused|removal/i.test(reason))) {
    return new GloveboxError('sandbox_lost', 'The sandbox of this session is gone.', { cause: error });
  }
  if (status !== undefined) {
    return new GloveboxError('engine_unavailable', `The container engine refused: ${reason.slice(0, 300)}`, {
      hint: "Look at the engine's own log, and at the settings of this server.",
      cause: error,
    });
  }
  return new GloveboxError('engine_unavailable', 'The container engine does not answer.', { cause: error });
}

function reasonOf(error: unknown): string {
  const { json, message } = error as { json?: { message?: unknown }; message?: unknown };
  return String(json?.message ?? message ?? error).trim();
}
