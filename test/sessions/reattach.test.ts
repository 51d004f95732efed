import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { callTool, type Execution, openSession, post, runPython, userOf } from '../support/rest-client.ts';
import { containersOf, startServer } from '../support/server.ts';

const PATIENCE = { timeout: 30_000 };
const ENV = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_CHECKPOINT_AFTER_S: '0' };

/** A way to the run's engine that can be cut while the engine and its containers live on. */
class Line implements AsyncDisposable {
  readonly address: string;
  readonly #path = join(tmpdir(), `glovebox-line-${randomBytes(6).toString('hex')}.sock`);
  readonly #open = new Set<Socket>();
  #isDown = false;
  readonly #server = createServer((near) => {
    if (this.#isDown) return void near.destroy();
    const far = connect(inject('engineAddress').replace('unix://', ''));
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      this.#open.add(from);
      from.pipe(to);
      from
        .on('error', () => to.destroy())
        .on('close', () => {
          this.#open.delete(from);
          to.destroy();
        });
    }
  });

  private constructor() {
    this.address = `unix://${this.#path}`;
  }

  static async open(): Promise<Line> {
    const line = new Line();
    await new Promise<void>((resolve) => line.#server.listen(line.#path, resolve));
    return line;
  }

  /** Breaks every connection that there is; new ones are refused until `mend`, if so wanted. */
  cut({ stayDown = false } = {}): void {
    this.#isDown = stayDown;
    for (const socket of this.#open) socket.destroy();
  }

  mend(): void {
    this.#isDown = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut({ stayDown: true });
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#path, { force: true });
  }
}

const COUNT = [
  'import os, time',
  'for n in range(400):',
  '  print(n, flush=True)',
  '  if n == 100:',
  '    while not os.path.exists("go"): time.sleep(0.01)',
  'display({"counted": n})',
].join('\n');
const counted = Array.from({ length: 400 }, (_, n) => `${n}\n`).join('');

describe.skipIf(!inject('engineAddress').startsWith('unix://'))('when the connection to a living engine breaks', () => {
  test('a session goes on in its container, with its contexts and background executions', async () => {
    await using line = await Line.open();
    await using server = await startServer({ env: { ...ENV, DOCKER_HOST: line.address } });
    const id = await openSession(server);
    await runPython(server, 'x = [41]', { session_id: id, context: 'c' });
    const uid = await userOf(server, id);
    const job = (await runPython(server, COUNT, { session_id: id, background: true })).execution_id;
    const follow = async (args: object = {}) =>
      (await callTool(server, 'get_execution', { execution_id: job, ...args })) as Execution;
    await expect.poll(async () => (await follow()).stdout, PATIENCE).toContain('\n100\n');

    line.cut();
    const next = await runPython(server, 'x.append(1); print(sum(x))', { session_id: id, context: 'c' });
    expect(next).toMatchObject({ status: 'ok', stdout: '42\n', context: { created: false, alive: true } });
    expect(next).not.toHaveProperty('session_reset');
    expect(await userOf(server, id)).toBe(uid);
    expect(await follow()).toMatchObject({ status: 'running' });
    const release = await runPython(server, 'open("go", "w")', { session_id: id });
    expect(release).not.toHaveProperty('session_reset');
    const ended = await follow({ wait_s: 30 });
    expect(ended).toMatchObject({ status: 'ok', exit_code: 0, stdout: counted, session_id: id });
    expect(ended.results?.[0]?.['text']).toBe("{'counted': 399}");
    expect(ended).not.toHaveProperty('session_reset');
    expect(await containersOf(server)).toHaveLength(1);
  });

  test('calls under way are told so at once, and the next ones work', async () => {
    await using line = await Line.open();
    await using server = await startServer({ env: { ...ENV, DOCKER_HOST: line.address } });
    const id = await openSession(server);
    await runPython(server, 'x = 1', { session_id: id, context: 'c' });
    const wait = (name: string) => ({ code: `open("${name}", "w")\nimport time\ntime.sleep(3600)`, timeout_s: 3600 });
    const calls = [{ ...wait('one') }, { ...wait('two'), context: 'c' }].map((args) =>
      post(server, '/execute', { name: 'execute_python', session_id: id, arguments: args }),
    );
    const begun = async () =>
      (await runPython(server, 'import os; print(len(os.listdir()))', { session_id: id })).stdout;
    await expect.poll(begun, PATIENCE).toBe('2\n');

    line.cut();
    for (const response of await Promise.all(calls)) {
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({
        error: { code: 'engine_unavailable', hint: expect.stringContaining('The session continues') },
      });
    }
    const next = await runPython(server, 'print(x)', { session_id: id, context: 'c' });
    expect(next).toMatchObject({ status: 'ok', stdout: '1\n', context: { created: false } });
    expect(next).not.toHaveProperty('session_reset');
    expect(await containersOf(server)).toHaveLength(1);
  });

  test('and stays away for a while: calls say so, and background executions are followed when it is back', async () => {
    await using line = await Line.open();
    await using server = await startServer({ env: { ...ENV, DOCKER_HOST: line.address } });
    const id = await openSession(server);
    await runPython(server, 'x = 1', { session_id: id, context: 'c' });
    const job = (
      await runPython(server, 'import time\ntime.sleep(5)\nprint("done")', { session_id: id, background: true })
    ).execution_id;
    const call = post(server, '/execute', {
      name: 'execute_python',
      session_id: id,
      arguments: { code: 'open("begun", "w")\nimport time\ntime.sleep(3600)', timeout_s: 3600 },
    });
    const begun = async () =>
      (await runPython(server, 'import os; print(os.path.exists("begun"))', { session_id: id })).stdout;
    await expect.poll(begun, PATIENCE).toBe('True\n');

    line.cut({ stayDown: true });
    expect((await call).status).toBe(503);
    const refused = await post(server, '/execute', {
      name: 'execute_python',
      session_id: id,
      arguments: { code: 'print(1)' },
    });
    expect(refused.status).toBe(503);
    line.mend();
    expect(await callTool(server, 'get_execution', { execution_id: job, wait_s: 40 })).toMatchObject({
      status: 'ok',
      stdout: 'done\n',
    });
    const next = await runPython(server, 'print(x)', { session_id: id, context: 'c' });
    expect(next).toMatchObject({ stdout: '1\n', context: { created: false } });
    expect(next).not.toHaveProperty('session_reset');
  });
});
