import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { openSession, runPython, userOf } from '../support/rest-client.ts';
import {
  containerOfUser,
  containersOf,
  engine,
  isCluster,
  newStateDir,
  processesOf,
  startServer,
} from '../support/server.ts';
import { startStdio } from '../support/stdio-process.ts';

const idsOf = async (server: { stateDir: string }) => (await containersOf(server)).map(({ Id }) => Id).sort();

async function listSessions({ url }: { url: string }): Promise<string[]> {
  const { sessions } = (await (await fetch(`${url}/sessions`)).json()) as { sessions: { session_id: string }[] };
  return sessions.map(({ session_id }) => session_id).sort();
}

// What a pod is, `compare-pod.ts` compares with what was asked for at each start.
describe.skipIf(isCluster())('the container of a live session', () => {
  test('is sealed: what docker inspect says of it', async () => {
    const env = { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_PIDS: '77', GLOVEBOX_CPUS: '0.5', GLOVEBOX_POOL_SIZE: '0' };
    await using server = await startServer({ env });
    const id = await openSession(server);
    const uid = await userOf(server, id);
    const container = await containerOfUser(server, uid);
    const { Config, HostConfig, Mounts, Name, State } = await engine().getContainer(container.id).inspect();
    expect(State.Running).toBe(true);
    expect(Config.User).toBe('65532:65532');
    expect(HostConfig).toMatchObject({
      NetworkMode: 'none',
      ReadonlyRootfs: true,
      Privileged: false,
      Init: true,
      CapDrop: ['ALL'],
      Memory: 256 * 2 ** 20,
      MemorySwap: 256 * 2 ** 20,
      NanoCpus: 5e8,
      PidsLimit: 77,
      IpcMode: 'private',
      LogConfig: { Type: 'none' },
    });
    expect(HostConfig.CapAdd ?? []).toEqual([]);
    expect(HostConfig.Binds ?? []).toEqual([]);
    expect(Mounts.filter(({ Type }) => Type !== 'tmpfs')).toEqual([]);
    expect(HostConfig.SecurityOpt).toContain('no-new-privileges');
    expect(HostConfig.SecurityOpt?.some((option: string) => /^seccomp=\{.*defaultAction.*ERRNO/.test(option))).toBe(
      true,
    );
    expect(JSON.stringify([Name, Config.Labels, Config.Env])).not.toContain(id.slice(4));
    expect(await processesOf(container, 0)).toEqual([]);
    expect((await processesOf(container, uid)).length).toBeGreaterThan(0);
  });
});

describe('kill -9 of the server with sessions open', () => {
  test('the next start finds each again by its id with its files, and removes what nobody owns', async () => {
    const [stateDir, port] = [newStateDir(), await freePort()];
    await using first = await startServer({ stateDir, port });
    const ids = [...(await Promise.all([1, 2, 3, 4].map(() => openSession(first)))), 'by-name'].sort();
    for (const id of ids) await runPython(first, `open("mine", "w").write("${id}")`, { session_id: id });
    const users = new Map(await Promise.all(ids.map(async (id) => [id, await userOf(first, id)] as const)));
    const busy = ids[0] ?? '';
    const sleeper = 'import subprocess; subprocess.run(["sleep", "4321"])';
    const cut = runPython(first, sleeper, { session_id: busy }).catch(() => 'cut');
    const container = await containerOfUser(first, users.get(busy) ?? 0);
    const sleepers = async () =>
      (await processesOf(container, users.get(busy) ?? 0)).filter((args) => args === 'sleep 4321');
    await expect.poll(sleepers, { timeout: 10_000 }).toHaveLength(1);
    await expect.poll(async () => (await containersOf(first)).length).toBe(7);
    await first.kill();
    expect(await cut).toBe('cut');

    await using second = await startServer({ stateDir, port });
    expect(await listSessions(second)).toEqual(ids);
    expect(await sleepers()).toEqual([]);
    for (const id of ids) {
      const found = await runPython(second, 'import os; print(open("mine").read(), os.getuid())', { session_id: id });
      expect(found).toMatchObject({ status: 'ok', stdout: `${id} ${users.get(id)}\n` });
      expect(found).not.toHaveProperty('session_created');
      expect(found).not.toHaveProperty('session_reset');
    }
    expect(await runPython(second, 'print("new")')).toMatchObject({ session_created: true, stdout: 'new\n' });
    await expect.poll(async () => (await containersOf(second)).length).toBe(6 + 2);
    expect(await second.stop()).toEqual({ code: 0, signal: null });
    expect(await containersOf(second)).toEqual([]);
  });

  test('a session whose idle time ran out meanwhile is not found again', async () => {
    const [stateDir, port] = [newStateDir(), await freePort()];
    const env = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_IDLE_TTL_S: '2' };
    await using first = await startServer({ stateDir, port, env });
    await openSession(first);
    const expires = Date.now() + 2000;
    await first.kill();
    await expect.poll(() => Date.now(), { timeout: 5000 }).toBeGreaterThan(expires);
    await using second = await startServer({ stateDir, port, env });
    expect(await listSessions(second)).toEqual([]);
    await expect.poll(async () => await containersOf(second), { timeout: 10_000 }).toEqual([]);
  });
});

describe('several over one state directory', () => {
  test('a stdio process and a second server come and go, and leave the running session of the first untouched', async () => {
    await using first = await startServer({ port: await freePort() });
    const { stateDir } = first;
    const id = await openSession(first);
    await expect.poll(async () => (await containersOf(first)).length).toBe(3);
    const before = await idsOf(first);
    const code =
      'import os, time\nopen("begun", "w")\nwhile not os.path.exists("stop"): time.sleep(0.01)\nprint("undisturbed")';
    const running = runPython(first, code, { session_id: id, timeout_s: 60 });

    const stdio = startStdio(stateDir);
    await stdio.initialize();
    await stdio.request('tools/call', { name: 'execute_python', arguments: { code: 'print(1)' } });
    {
      await using second = await startServer({ stateDir, port: await freePort() });
      expect(await listSessions(second)).toEqual([]);
      await runPython(second, 'print(1)');
      await expect(runPython(second, 'print(1)', { session_id: id })).rejects.toThrow('session_not_found');
      expect((await second.stop()).code).toBe(0);
    }
    await stdio.end();

    expect(await idsOf(first)).toEqual(before);
    await runPython(first, 'open("stop", "w")', { session_id: id });
    expect(await running).toMatchObject({ status: 'ok', stdout: 'undisturbed\n' });
  });

  test('the start of another removes what a dead one cannot come back to, and no more', async () => {
    const stateDir = newStateDir();
    const named = await startServer({ stateDir, port: await freePort() });
    const id = await openSession(named);
    const kept = (await containerOfUser(named, await userOf(named, id))).id;
    await named.kill();
    const passing = await startServer({ stateDir });
    await openSession(passing);
    await passing.kill();
    const foreign = await startServer({ port: await freePort() });
    await openSession(foreign);
    await foreign.kill();
    const abroad = await idsOf(foreign);
    expect(abroad.length).toBeGreaterThan(0);

    {
      await using _other = await startServer({ stateDir, env: { GLOVEBOX_POOL_SIZE: '0' } });
      await expect.poll(async () => await idsOf({ stateDir }), { timeout: 10_000 }).toEqual([kept]);
      expect(await idsOf(foreign)).toEqual(abroad);
    }
    await using again = await startServer({ stateDir, port: named.port });
    expect(await listSessions(again)).toEqual([id]);
    await using _sweeper = await startServer({ stateDir: foreign.stateDir, port: foreign.port });
  });
});

describe('a server that is told to stop', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'by %s removes all its containers and exits with 0',
    async (signal) => {
      await using server = await startServer();
      await openSession(server);
      await runPython(server, 'print(1)');
      expect(await server.stop(signal)).toEqual({ code: 0, signal: null });
      expect(await containersOf(server)).toEqual([]);
    },
  );

  test('with executions under way ends these with an answer, and leaves no container either', async () => {
    await using server = await startServer();
    const id = await openSession(server);
    const begun = 'print("begun", flush=True); open("begun", "w"); import time; time.sleep(60)';
    const running = runPython(server, begun, { session_id: id, timeout_s: 60 });
    const look = async () =>
      (await runPython(server, 'import os; print(os.path.exists("begun"))', { session_id: id })).stdout;
    await expect.poll(look, { timeout: 10_000 }).toBe('True\n');
    const started = performance.now();
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(await containersOf(server)).toEqual([]);
    expect(await running).toMatchObject({ status: 'cancelled', stdout: 'begun\n' });
  });

  test('cancelled calls that came over open connections, though nothing of them had run', async () => {
    await using server = await startServer();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const post = async (path: string, code: string) => {
      const body = JSON.stringify({ name: 'execute_python', arguments: { code, timeout_s: 60 } });
      const headers = { 'content-type': 'application/json' };
      const sent = request(`${server.url}${path}`, { method: 'POST', agent, headers }).end(body);
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      return { status: response.statusCode, text: response.setEncoding('utf8').reduce((all, part) => all + part, '') };
    };
    const first = await post('/execute/stream', 'import time; time.sleep(60)');
    const stopped = server.stop();
    expect(await first.text).toContain('"status":"cancelled"');
    const second = await post('/execute', 'print(1)');
    expect(second.status).toBe(503);
    expect(await second.text).toContain('The server is shutting down.');
    expect(await stopped).toEqual({ code: 0, signal: null });
    agent.destroy();
  });

  test('right after its start, while its pool fills, leaves no container', async () => {
    await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '5' } });
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(await containersOf(server)).toEqual([]);
  });

  test('and to keep its sessions leaves these, not its pool, for the next start', async () => {
    const [stateDir, port] = [newStateDir(), await freePort()];
    await using first = await startServer({ stateDir, port, env: { GLOVEBOX_ON_SHUTDOWN: 'keep' } });
    const id = await openSession(first);
    await runPython(first, 'open("kept", "w").write("here")', { session_id: id });
    expect(await first.stop()).toEqual({ code: 0, signal: null });
    expect(await containersOf(first)).toHaveLength(1);

    await using second = await startServer({ stateDir, port });
    expect(await listSessions(second)).toEqual([id]);
    const { stdout } = await runPython(second, 'print(open("kept").read())', { session_id: id });
    expect(stdout).toBe('here\n');
    await second.stop();
    expect(await containersOf(second)).toEqual([]);
  });
});
