import type { ExecutionEnd, ExecutionOptions, ExecutionRequest } from '../../src/execution/request.ts';
import { keepAsIs } from '../../src/lib/reused-memory.ts';
import type { SandboxHandle } from '../../src/sandbox/sandbox.ts';

const FINE: ExecutionEnd = { status: 'ok', exitCode: 0 };

/** A sandbox without an engine: it has no files, and its executions end as they are told to. */
export class FakeSandbox implements SandboxHandle {
  readonly key: string;
  readonly ref: string;
  readonly instance = undefined;
  readonly connected = true;
  lost = false;
  generation: number | undefined;
  onTunnel: SandboxHandle['onTunnel'];
  onLoss: SandboxHandle['onLoss'];
  hold: SandboxHandle['hold'];
  /** How its next executions end; those after them end well. */
  readonly ends: ExecutionEnd[] = [];
  /** Settles when it may be saved or filled. */
  moving: Promise<unknown> = Promise.resolve();
  /** Settles when it may be gone after its removal. */
  removal: Promise<unknown> = Promise.resolve();
  /** Whether it finds damage in what it is filled with. */
  findsDamage = false;
  readonly #removed = Promise.withResolvers<void>();
  readonly #moves = Promise.withResolvers<void>();

  constructor(number: number) {
    this.key = String(number).padStart(20, '0');
    this.ref = `fake/${this.key}`;
  }

  /** Settles when its removal is asked for. */
  get removed(): Promise<void> {
    return this.#removed.promise;
  }

  /** Settles when it is to be saved or filled. */
  get moves(): Promise<void> {
    return this.#moves.promise;
  }

  async unpacks(): Promise<boolean> {
    return true;
  }

  async execute({ kind, file }: ExecutionRequest, { onOutput }: ExecutionOptions): Promise<ExecutionEnd> {
    if (kind !== 'archive') {
      const end = this.ends.shift() ?? FINE;
      this.lost ||= end.reset?.lost.includes('files') ?? false;
      return end;
    }
    this.#moves.resolve();
    await this.moving;
    if (this.findsDamage) {
      await onOutput('stdout', Buffer.from('{"error":{"code":"damaged","message":"It is damaged."}}\n'), keepAsIs);
      return { status: 'error', exitCode: 1 };
    }
    await onOutput('stdout', Buffer.from('{"ok":true,"entries":0,"size":0}\n'), keepAsIs);
    if (file?.['op'] === 'save')
      await onOutput('stdout', Buffer.from('{"end":true,"unreadable":0,"passing":0}\n'), keepAsIs);
    return FINE;
  }

  async remove(): Promise<void> {
    this.lost = true;
    this.#removed.resolve();
    await this.removal;
  }

  abandon(): void {}

  async connect(): Promise<void> {}

  async adopt(): Promise<undefined> {}

  async resume(): Promise<ExecutionEnd> {
    return FINE;
  }
}
