import { expect } from 'vitest';
import { PROGRAMS } from '../../test/support/engine-lab.ts';
import { FAKE_PROFILE, FakeEngine, FakeMachine } from '../../test/support/fake-engine.ts';
import type { FakeProgram } from '../../test/support/fake-runner.ts';
import { testEngine } from './engine-contract.ts';

const FILE = 'kept.txt';

const DOES: Record<keyof typeof PROGRAMS, FakeProgram> = {
  hello: async (run) => {
    await run.print('hello\n');
    return 0;
  },
  fails: async () => 7,
  echo: async (run) => {
    await run.print(await run.readStdin());
    return 0;
  },
  floods: async (run) => {
    await run.print('0123456789'.repeat(200_000));
    return 0;
  },
  writes: async ({ contents }) => {
    contents.files.set(FILE, 'kept');
    return 0;
  },
  reads: async (run) => {
    await run.print(run.contents.files.get(FILE) ?? 'nothing');
    return 0;
  },
  waits: async (run) => {
    await run.print('begun\n');
    await run.interrupted;
    return 130;
  },
  survives: (run) => {
    run.killRunner();
    return new Promise(() => {});
  },
  countsStrays: async (run) => {
    await run.print(String(run.contents.strays));
    return 0;
  },
};

testEngine('the fake in memory', async () => {
  const machine = new FakeMachine();
  for (const [name, code] of Object.entries(PROGRAMS)) machine.programs.set(code, DOES[name as keyof typeof PROGRAMS]);
  return {
    opened: { engine: new FakeEngine(machine), profile: FAKE_PROFILE },
    reopen: () => new FakeEngine(machine),
    openUnreachable: () => Object.assign(new FakeEngine(machine), { isUp: false }),
    [Symbol.asyncDispose]: async () => expect(machine.sandboxes.size).toBe(0),
  };
});
