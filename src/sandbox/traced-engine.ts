import type { PieceStream } from '../lib/reused-memory.ts';
import { isTracing, trace } from '../telemetry/trace.ts';
import type {
  ConnectOptions,
  Engine,
  EngineInfo,
  SandboxInfo,
  SandboxRef,
  SandboxSpec,
  StartedSandbox,
} from './engine.ts';

/** Has spans made of what an engine does that takes time. Returns the engine itself where nothing is traced. */
export function traceEngine(engine: Engine): Engine {
  return isTracing() ? new TracedEngine(engine) : engine;
}

class TracedEngine implements Engine {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  start(spec: SandboxSpec): Promise<StartedSandbox> {
    return trace('glovebox.engine.start', (span) => {
      span?.set({ 'container.image.name': spec.image });
      return this.#engine.start(spec);
    });
  }

  /** Has no span: the runner's connection has one, which ends with its greeting. */
  connect(ref: SandboxRef, options?: ConnectOptions): Promise<PieceStream> {
    return this.#engine.connect(ref, options);
  }

  endProcesses(ref: SandboxRef): Promise<boolean> {
    return trace('glovebox.engine.end_processes', () => this.#engine.endProcesses(ref));
  }

  async awaitMachine(ref: SandboxRef): Promise<number> {
    return (await this.#engine.awaitMachine?.(ref)) ?? 0;
  }

  remove(ref: SandboxRef): Promise<void> {
    return trace('glovebox.engine.remove', () => this.#engine.remove(ref));
  }

  list(): Promise<SandboxInfo[]> {
    return this.#engine.list();
  }

  info(): Promise<EngineInfo> {
    return this.#engine.info();
  }
}
