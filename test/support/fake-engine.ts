import { randomBytes } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { GloveboxError } from '../../src/errors.ts';
import type {
  ConnectOptions,
  Engine,
  EngineInfo,
  SandboxInfo,
  SandboxProfile,
  SandboxRef,
  SandboxSpec,
  StartedSandbox,
} from '../../src/sandbox/engine.ts';
import { type FakeContents, type FakeProgram, FakeRunner } from './fake-runner.ts';

/** What every sandbox of a fake is; its one image is `fake`. */
export const FAKE_PROFILE: SandboxProfile = {
  ...{ image: 'fake', memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600 },
};

interface FakeSandbox extends FakeContents {
  spec: SandboxSpec;
  runner?: FakeRunner;
}

/** Where fake sandboxes are: engines of one machine see the same ones, as those of two control planes do. */
export class FakeMachine {
  readonly sandboxes = new Map<SandboxRef, FakeSandbox>();
  /** What code does, by its text. */
  readonly programs = new Map<string, FakeProgram>();
}

/** An engine in memory whose sandboxes have a stand-in for the runner. It keeps what every engine promises. */
export class FakeEngine implements Engine {
  /** Whether it can be reached. */
  isUp = true;
  /** Whether kills from outside end what has left, or killed, its runner. */
  endsStrays = true;
  /** Whether what a new sandbox was to have for itself is another's already. */
  isContested = false;
  /** The methods that were called, in order. */
  readonly calls: string[] = [];
  readonly #machine: FakeMachine;

  constructor(machine = new FakeMachine()) {
    this.#machine = machine;
  }

  async start(spec: SandboxSpec): Promise<StartedSandbox> {
    this.#answer('start');
    if (spec.image !== FAKE_PROFILE.image) throw new GloveboxError('engine_unavailable', 'The image is missing.');
    const ref = `${randomBytes(6).toString('hex')}/${spec.key}`;
    this.#machine.sandboxes.set(ref, { spec, files: new Map(), strays: 0 });
    return { ref, confirmed: Promise.resolve(!this.isContested) };
  }

  async connect(ref: SandboxRef, { generation = 0 }: ConnectOptions = {}): Promise<Duplex> {
    const sandbox = this.#find('connect', ref);
    sandbox.runner ??= new FakeRunner(this.#machine.programs, sandbox, () => {
      sandbox.strays += 1;
      sandbox.runner?.kill();
      delete sandbox.runner;
    });
    const [ours, theirs] = duplexPair();
    ours.once('close', () => theirs.destroy());
    theirs.once('close', () => ours.destroy());
    sandbox.runner.serve(theirs, generation);
    return ours;
  }

  async endProcesses(ref: SandboxRef): Promise<boolean> {
    const sandbox = this.#find('endProcesses', ref);
    if (sandbox.strays > 0 && !this.endsStrays) return false;
    sandbox.strays = 0;
    sandbox.runner?.kill();
    delete sandbox.runner;
    return true;
  }

  async remove(ref: SandboxRef): Promise<void> {
    this.#answer('remove');
    this.#machine.sandboxes.get(ref)?.runner?.kill();
    this.#machine.sandboxes.delete(ref);
  }

  async list(): Promise<SandboxInfo[]> {
    this.#answer('list');
    return [...this.#machine.sandboxes].map(([ref, { spec }]) => ({
      ...{ ref, key: spec.key, instance: spec.instance, running: true },
      ...(spec.isPooled ? { isPooled: true } : {}),
    }));
  }

  async info(): Promise<EngineInfo> {
    this.#answer('info');
    return { name: 'Fake', version: '1' };
  }

  #answer(call: string): void {
    this.calls.push(call);
    if (!this.isUp) throw new GloveboxError('engine_unavailable', 'The engine is away.');
  }

  #find(call: string, ref: SandboxRef): FakeSandbox {
    this.#answer(call);
    const sandbox = this.#machine.sandboxes.get(ref);
    if (sandbox) return sandbox;
    throw new GloveboxError('sandbox_lost', 'The sandbox is gone.');
  }
}
