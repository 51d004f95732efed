import { randomBytes } from 'node:crypto';
import type { ExecutionEnd, ExecutionOptions } from '../../src/execution/request.ts';
import { createLog } from '../../src/log.ts';
import type { Engine, OpenedEngine, SandboxInfo, SandboxRef, SandboxSpec } from '../../src/sandbox/engine.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { type Backend, startSandbox } from '../../src/sandbox/start-sandbox.ts';

/** An engine that is to show that it keeps the contract of `src/engines/engine-contract.ts`. */
export interface EngineUnderTest extends AsyncDisposable {
  readonly opened: OpenedEngine;
  /** The same engine, as another control plane has it. */
  reopen(): Engine;
  /** One of the kind that does not answer. */
  openUnreachable(): Engine;
}

/** Python that the tests run. A fake engine does by the text what Python would. */
export const PROGRAMS = {
  hello: "print('hello')",
  fails: 'raise SystemExit(7)',
  echo: "import sys\nprint(sys.stdin.read(), end='')",
  floods: "print('0123456789' * 200_000, end='')",
  writes: "open('kept.txt', 'w').write('kept')",
  reads: "import os\nprint(open('kept.txt').read() if os.path.exists('kept.txt') else 'nothing', end='')",
  waits: "import time\nprint('begun', flush=True)\ntime.sleep(600)",
  /** Leaves processes that ignore signals, and kills whatever could end them. */
  survives: `
import os, signal, subprocess
for _ in range(5):
    subprocess.Popen(['sh', '-c', 'trap "" INT TERM HUP; while :; do sleep 600; done', 'stray'], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
supervisor = os.getppid()
runner = int(open(f'/proc/{supervisor}/stat').read().rpartition(')')[2].split()[1])
os.kill(supervisor, signal.SIGKILL)
os.kill(runner, signal.SIGKILL)
while True: signal.pause()`,
  countsStrays: `
import os
def is_stray(pid):
    try:
        return b'stray' in open(f'/proc/{pid}/cmdline', 'rb').read()
    except OSError:
        return False
print(sum(is_stray(pid) for pid in os.listdir('/proc') if pid.isdigit()), end='')`,
} as const;

/** A sandbox, and what the engine lists of it. */
export interface LabSandbox extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly info: SandboxInfo;
}

interface Ended {
  readonly end: ExecutionEnd;
  readonly stdout: string;
}

/** Runs a program to its end. */
export async function run(
  sandbox: Sandbox,
  code: string,
  { onOutput, ...options }: Partial<ExecutionOptions> = {},
): Promise<Ended> {
  const stdout: Buffer[] = [];
  const end = await sandbox.execute(
    { code, stdin_stream: options.stdin !== undefined },
    {
      timeoutMs: 30_000,
      signal: new AbortController().signal,
      onOutput: (stream, chunk, keep) => {
        if (stream === 'stdout') stdout.push(Buffer.from(chunk));
        return onOutput?.(stream, chunk, keep);
      },
      ...options,
    },
  );
  return { end, stdout: Buffer.concat(stdout).toString() };
}

/** Starts the sandboxes of one run of the contract, and removes them all in the end. */
export class EngineLab {
  /** Tells the sandboxes of this run from others on the same engine. */
  readonly instance = `contract-${randomBytes(4).toString('hex')}`;
  readonly #open: () => Promise<EngineUnderTest>;
  readonly #refs: SandboxRef[] = [];
  #subject: EngineUnderTest | undefined;

  constructor(open: () => Promise<EngineUnderTest>) {
    this.#open = open;
  }

  get engine(): Engine {
    return this.#opened.opened.engine;
  }

  async open(): Promise<void> {
    this.#subject = await this.#open();
  }

  async close(): Promise<void> {
    for (const ref of this.#refs) await this.engine.remove(ref);
    await this.#opened[Symbol.asyncDispose]();
  }

  reopen(): Engine {
    return this.#opened.reopen();
  }

  openUnreachable(): Engine {
    return this.#opened.openUnreachable();
  }

  /** What a new sandbox is to be. */
  specify(): SandboxSpec {
    return { ...this.#opened.opened.profile, instance: this.instance, key: randomBytes(10).toString('hex') };
  }

  /** Has the sandbox removed in the end. */
  note(ref: SandboxRef): void {
    this.#refs.push(ref);
  }

  backendOf(engine: Engine, instance = this.instance): Backend {
    const { profile } = this.#opened.opened;
    return { engine, profile, label: () => instance, configuration: { preload: 'none' }, log: createLog('error') };
  }

  async find(key: string): Promise<SandboxInfo | undefined> {
    return (await this.engine.list()).find((info) => info.key === key);
  }

  /** Starts a sandbox with its runner. */
  async start(instance?: string): Promise<LabSandbox> {
    const sandbox = await startSandbox(this.backendOf(this.engine, instance));
    const info = await this.find(sandbox.key);
    if (!info) throw new Error('A sandbox that was started is not listed.');
    this.note(info.ref);
    return { sandbox, info, [Symbol.asyncDispose]: () => sandbox.remove() };
  }

  get #opened(): EngineUnderTest {
    if (!this.#subject) throw new Error('The engine is not open yet.');
    return this.#subject;
  }
}
