import { expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine, FakeMachine } from '../../test/support/fake-engine.ts';
import { createLog } from '../log.ts';
import { startSandbox } from './start-sandbox.ts';

function open() {
  const machine = new FakeMachine();
  const engine = new FakeEngine(machine);
  const configuration = { preload: 'none' } as const;
  return {
    machine,
    engine,
    backend: { engine, profile: FAKE_PROFILE, label: () => 'i', configuration, log: createLog('error') },
  };
}

test('a sandbox that the engine does not confirm is not used, and the next one is', async () => {
  const { machine, engine, backend } = open();
  engine.isContested = true;
  const started = startSandbox(backend);
  const [contested] = machine.sandboxes.keys();
  engine.isContested = false;
  await started;
  expect(machine.sandboxes.size).toBe(1);
  expect(machine.sandboxes.has(contested ?? '')).toBe(false);
});

test('where none is confirmed, nothing is left and the caller hears why', async () => {
  const { machine, engine, backend } = open();
  engine.isContested = true;
  await expect(startSandbox(backend)).rejects.toMatchObject({ code: 'capacity_exceeded' });
  expect(machine.sandboxes.size).toBe(0);
});

test('a sandbox whose runner cannot be reached is removed', async () => {
  const { machine, engine, backend } = open();
  engine.connect = () => Promise.reject(new Error('unreachable'));
  await expect(startSandbox(backend)).rejects.toThrow('unreachable');
  expect(machine.sandboxes.size).toBe(0);
});
