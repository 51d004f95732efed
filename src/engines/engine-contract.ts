import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineLab, type EngineUnderTest, type LabSandbox, PROGRAMS, run } from '../../test/support/engine-lab.ts';
import type { ExecutionRequest } from '../execution/request.ts';
import { Channel } from '../protocol/channel.ts';
import type { Engine, SandboxInfo } from '../sandbox/engine.ts';
import { openSandbox } from '../sandbox/start-sandbox.ts';

const BACKGROUND: ExecutionRequest = {
  code: PROGRAMS.waits,
  background: { timeout_s: 600 },
  keep: { id: 'job', inline: 1000, limit: 1000, total: 1000 },
};

/**
 * Tests of everything that an engine must do for the core. The author of an engine calls `testEngine` in a test file. In
 * short:
 *
 * - A `ref` is the engine's own reference to a sandbox. It contains everything that the engine needs to find the sandbox
 *   again, also in another process. The core does not store it: it gets it from `list`.
 * - The core stores `key` and `instance`. `list` returns both, for the sandboxes of all control planes.
 * - The engine chooses the user that runs the code. No two sandboxes on one engine may have the same user, even if they
 *   belong to two control planes. `confirmed` tells what can be checked only after the start.
 * - `connect` runs `/opt/glovebox/runner` in the sandbox, which finds out whether a runner is there already. Bytes
 *   must come unchanged, in order, with back-pressure both ways, and each side must see the end of the other.
 *   It passes the generation on as the last argument. A runner refuses a lower one than it has let in.
 * - `endProcesses` must work without the runner, against code that kills, forks and ignores signals. It returns true only
 *   if a check that the code cannot influence finds no process left. It answers within about ten seconds.
 * - While an engine is unavailable, no sandbox counts as lost: the error is `engine_unavailable`, never `sandbox_lost`.
 *   If the engine answers and the machine of one sandbox does not, it is a `SandboxUnreachable`.
 * - The hardening is not covered here: see `test/hardening`.
 */
export function testEngine(name: string, open: () => Promise<EngineUnderTest>): void {
  describe(`the contract of an engine: ${name}`, () => {
    const lab = new EngineLab(open);
    beforeAll(() => lab.open());
    afterAll(() => lab.close());
    testStarting(lab);
    testRunning(lab);
    testSharing(lab);
    testEnding(lab);
    testAbsence(lab);
  });
}

/** Covers `info`, `start` and `list`. */
function testStarting(lab: EngineLab): void {
  test('the engine says what it is', async () => {
    const { name: product, version } = await lab.engine.info();
    expect([product, version]).not.toContain('');
  });

  test('a sandbox that was started is confirmed, and listed by the same ref with its key and control plane', async () => {
    const { engine } = lab;
    const spec = lab.specify();
    const { ref, confirmed } = await engine.start(spec);
    lab.note(ref);
    expect(await confirmed).toBe(true);
    expect(await lab.find(spec.key)).toEqual({ ref, key: spec.key, instance: lab.instance, running: true });
    await engine.remove(ref);
    expect(await lab.find(spec.key)).toBeUndefined();
  });

  test('a sandbox that cannot be made leaves nothing behind', async () => {
    const { engine } = lab;
    const spec = { ...lab.specify(), image: 'glovebox-contract:missing' };
    await expect(engine.start(spec)).rejects.toMatchObject({ code: 'engine_unavailable' });
    expect(await lab.find(spec.key)).toBeUndefined();
  });
}

/** Covers `connect`. */
function testRunning(lab: EngineLab): void {
  test('code runs, and its input, output and exit status come across', async () => {
    await using opened = await lab.start();
    const { sandbox } = opened;
    expect(await run(sandbox, PROGRAMS.hello)).toMatchObject({ end: { status: 'ok' }, stdout: 'hello\n' });
    expect((await run(sandbox, PROGRAMS.fails)).end).toMatchObject({ status: 'error', exitCode: 7 });
    async function* stdin() {
      yield Buffer.from('one, ');
      yield Buffer.from('two');
    }
    expect((await run(sandbox, PROGRAMS.echo, { stdin: stdin() })).stdout).toBe('one, two');
  });

  test('output beyond all buffers comes whole, at the pace of its reader', async () => {
    await using opened = await lab.start();
    let held = 0;
    let most = 0;
    const onOutput = async (_stream: string, chunk: Buffer) => {
      held += chunk.length;
      most = Math.max(most, held);
      await new Promise((resolve) => setImmediate(resolve));
      held -= chunk.length;
    };
    const { stdout } = await run(opened.sandbox, PROGRAMS.floods, { onOutput });
    expect(stdout === '0123456789'.repeat(200_000)).toBe(true);
    expect(most).toBeLessThan(1_000_000);
  });

  test('what one sandbox writes, another does not see', async () => {
    await using one = await lab.start();
    await using two = await lab.start();
    await run(one.sandbox, PROGRAMS.writes);
    expect((await run(one.sandbox, PROGRAMS.reads)).stdout).toBe('kept');
    expect((await run(two.sandbox, PROGRAMS.reads)).stdout).toBe('nothing');
    expect(one.info.ref).not.toBe(two.info.ref);
  });

  test('a call that is cancelled ends, and the sandbox goes on', async () => {
    await using opened = await lab.start();
    const caller = new AbortController();
    const { end } = await run(opened.sandbox, PROGRAMS.waits, {
      signal: caller.signal,
      onOutput: () => caller.abort(),
    });
    expect(end).toMatchObject({ status: 'cancelled', termination: 'interrupt' });
    expect((await run(opened.sandbox, PROGRAMS.hello)).stdout).toBe('hello\n');
  });
}

/** Covers two control planes on one engine. */
function testSharing(lab: EngineLab): void {
  test('another control plane finds a sandbox, and the runner with what goes on in it', async () => {
    await using opened = await lab.start();
    const begun = Promise.withResolvers<void>();
    const signal = new AbortController().signal;
    const options = { timeoutMs: 600_000, signal, onOutput: () => begun.resolve() };
    const first = opened.sandbox.execute(BACKGROUND, options);
    await begun.promise;
    opened.sandbox.abandon();
    expect(await first).toMatchObject({ status: 'cancelled' });

    const engine = lab.reopen();
    const info = (await engine.list()).find(({ key }) => key === opened.sandbox.key);
    expect(info).toEqual(opened.info);
    const sandbox = openSandbox(lab.backendOf(engine), info ?? opened.info);
    const job = (await sandbox.adopt())?.executions.get('job');
    expect(job).toMatchObject({ id: 'job', ended: false });
    const caller = new AbortController();
    const ended = job && sandbox.resume(job, BACKGROUND, { timeoutMs: 600_000, signal: caller.signal });
    caller.abort();
    expect(await ended).toMatchObject({ status: 'cancelled' });
    sandbox.abandon();
    await engine.remove(opened.info.ref);
  });

  test('a control plane that slept while another claimed the session is refused, and the other works on', async () => {
    const { engine } = lab;
    await using opened = await lab.start();
    const { ref } = opened.info;
    opened.sandbox.abandon();
    const present = await Channel.open(await engine.connect(ref, { generation: 2 }));
    for (const options of [{ generation: 1 }, {}]) {
      const refused = Channel.open(await lab.reopen().connect(ref, options));
      await expect(refused).rejects.toMatchObject({ code: 'session_moved' });
    }
    const output: Buffer[] = [];
    const { ended } = present.execute({ code: PROGRAMS.hello }, (_, chunk) => void output.push(Buffer.from(chunk)));
    expect(await ended).toMatchObject({ exit_code: 0 });
    expect(Buffer.concat(output).toString()).toBe('hello\n');
    const again = await Channel.open(await engine.connect(ref, { generation: 2 }));
    expect(again.runnerState).toEqual({ contexts: [], executions: new Map() });
    again.close();
    await engine.remove(ref);
  });

  test('sandboxes of all control planes are listed, each with its own', async () => {
    await using one = await lab.start(`${lab.instance}-a`);
    await using two = await lab.start(`${lab.instance}-b`);
    const listed = await lab.reopen().list();
    const ownerOf = ({ sandbox }: LabSandbox) => listed.find(({ key }) => key === sandbox.key)?.instance;
    expect([ownerOf(one), ownerOf(two)]).toEqual([`${lab.instance}-a`, `${lab.instance}-b`]);
  });
}

/** Covers `endProcesses`. */
function testEnding(lab: EngineLab): void {
  test('what outlives its runner and ignores signals ends from outside, and files stay', async () => {
    const { engine } = lab;
    await using opened = await lab.start();
    await run(opened.sandbox, PROGRAMS.writes);
    opened.sandbox.abandon();
    const channel = await Channel.open(await engine.connect(opened.info.ref));
    channel.execute({ code: PROGRAMS.survives }, () => {});
    await channel.closed;
    expect(await countStrays(engine, opened.info)).not.toBe('0');
    expect(await engine.endProcesses(opened.info.ref)).toBe(true);
    expect(await countStrays(engine, opened.info)).toBe('0');
    const sandbox = openSandbox(lab.backendOf(engine), opened.info);
    expect((await run(sandbox, PROGRAMS.reads)).stdout).toBe('kept');
    sandbox.abandon();
    await engine.remove(opened.info.ref);
  });

  test('the end of all processes ends the runner and its connection, and nothing is nothing to end', async () => {
    const { engine } = lab;
    await using opened = await lab.start();
    opened.sandbox.abandon();
    const channel = await Channel.open(await engine.connect(opened.info.ref));
    expect(await engine.endProcesses(opened.info.ref)).toBe(true);
    expect(await channel.closed).toEqual({});
    expect(await engine.endProcesses(opened.info.ref)).toBe(true);
    const next = await Channel.open(await engine.connect(opened.info.ref));
    expect(next.runnerState).toBeUndefined();
    next.close();
    await engine.remove(opened.info.ref);
  });
}

/** Covers `remove`, and sandboxes that do not exist. */
function testAbsence(lab: EngineLab): void {
  test('a removal ends the connection; it may come twice, and of what is gone only it succeeds', async () => {
    const { engine } = lab;
    await using opened = await lab.start();
    const { ref } = opened.info;
    opened.sandbox.abandon();
    const channel = await Channel.open(await engine.connect(ref));
    await Promise.all([engine.remove(ref), engine.remove(ref)]);
    await channel.closed;
    await engine.remove(ref);
    await expect(engine.connect(ref)).rejects.toMatchObject({ code: 'sandbox_lost' });
    await expect(engine.endProcesses(ref)).rejects.toMatchObject({ code: 'sandbox_lost' });
    expect(await lab.find(opened.info.key)).toBeUndefined();
  });

  test('an engine that is away says so, and takes no sandbox for lost', async () => {
    const engine = lab.openUnreachable();
    await using opened = await lab.start();
    const { ref } = opened.info;
    const calls = [
      engine.start(lab.specify()),
      ...[engine.connect(ref), engine.endProcesses(ref), engine.remove(ref), engine.list(), engine.info()],
    ];
    for (const call of await Promise.allSettled(calls))
      expect(call).toMatchObject({ status: 'rejected', reason: { code: 'engine_unavailable' } });
    expect((await run(opened.sandbox, PROGRAMS.hello)).stdout).toBe('hello\n');
  });
}

/** Counts, from inside of the sandbox, the processes that earlier runners left. */
async function countStrays(engine: Engine, { ref }: SandboxInfo): Promise<string> {
  const channel = await Channel.open(await engine.connect(ref));
  const output: Buffer[] = [];
  await channel.execute({ code: PROGRAMS.countsStrays }, (_, chunk) => void output.push(Buffer.from(chunk))).ended;
  channel.close();
  return Buffer.concat(output).toString();
}
