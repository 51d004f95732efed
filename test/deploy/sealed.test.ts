import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { type Alterations, AlteredEngine } from '../support/altered-engine.ts';
import { runPython } from '../support/rest-client.ts';
import { CLI, containersOf, engine, environment, exitOf, runCli, startServer } from '../support/server.ts';

const CREATE = 'POST /containers/create';
const LOOK = 'GET /containers/ID/json';
const WITHOUT_POOL = { GLOVEBOX_POOL_SIZE: '0' };

type Fields = Record<string, unknown>;

/** Changes options of a container's host, in a request or an answer. */
function options(change: Fields) {
  return (body: string) => {
    const whole = JSON.parse(body) as { readonly HostConfig?: Fields };
    return JSON.stringify({ ...whole, HostConfig: { ...whole.HostConfig, ...change } });
  };
}

/** Changes what an engine says of itself. */
function facts(change: (said: Fields) => Fields) {
  return (body: string) => JSON.stringify(change(JSON.parse(body) as Fields));
}

/** One that says 201, drops the limit of processes, and tells it as it was asked for. */
const DROPS_PIDS: Alterations = {
  requests: { [CREATE]: options({ PidsLimit: 0 }) },
  answers: { [LOOK]: options({ PidsLimit: 50 }), 'GET /info': facts((said) => ({ ...said, ID: 'another' })) },
};
const ASKED_PIDS = { GLOVEBOX_PIDS: '50' };

/** A state directory that knows of no look. */
function newStateDir(): string {
  const directory = join(inject('stateRoot'), randomBytes(6).toString('hex'));
  mkdirSync(directory, { mode: 0o700 });
  return directory;
}

/** What a server says that is to refuse, once it is seen that nothing is left of it. */
async function refusal(alterations: Alterations, env: Readonly<Record<string, string>> = {}): Promise<string> {
  await using altered = await AlteredEngine.open(alterations);
  const stateDir = newStateDir();
  const settings = { GLOVEBOX_PORT: '0', DOCKER_HOST: altered.address, ...WITHOUT_POOL, ...env };
  const { code, stderr } = await runCli(['serve'], environment(stateDir, settings));
  expect(code).toBe(1);
  expect(stderr).not.toMatch(/\n {4}at /);
  expect(await containersOf({ stateDir })).toEqual([]);
  return stderr;
}

describe('an engine that', () => {
  test('says 201, drops a limit and tells it as asked is refused by name, with what to do', async () => {
    expect(await refusal(DROPS_PIDS, ASKED_PIDS)).toMatch(
      /lack what was asked for: pids \(the limit is max, not 50\)\.\n.*GLOVEBOX_ALLOW_MISSING=pids\.\n$/,
    );
  });

  test('drops what only it can tell of is refused by its own word', async () => {
    const shared = options({ PidMode: 'host' });
    expect(await refusal({ answers: { [LOOK]: shared } })).toMatch(/namespaces \(.*PidMode is "host"\)/);
  });

  test('answers the creation of a container with an empty body is refused', async () => {
    expect(await refusal({ answers: { [CREATE]: () => '' } })).toMatch(/made a container, and not which/);
  });

  test('answers with an empty body when asked what it is, or how it made a sandbox, is looked at, or refused', async () => {
    await using silent = await AlteredEngine.open({ answers: { 'GET /info': () => '' } });
    await using server = await startServer({ env: { DOCKER_HOST: silent.address, ...WITHOUT_POOL } });
    expect(await runPython(server, 'print(1)')).toMatchObject({ status: 'ok' });
    expect(await refusal({ answers: { [LOOK]: () => '' } })).toMatch(/does not tell how it made a sandbox/);
  });

  test('lists a runtime that it lacks is refused with its reason', async () => {
    const lists = facts((said) => ({ ...said, Runtimes: { ...(said['Runtimes'] as Fields), kata: { path: 'kata' } } }));
    expect(await refusal({ answers: { 'GET /info': lists } }, { GLOVEBOX_RUNTIME: 'kata' })).toMatch(
      /The container engine refused: .*kata/,
    );
  });

  test('drops a limit that may be missing is used, and the server says so wherever it is asked', async () => {
    await using altered = await AlteredEngine.open(DROPS_PIDS);
    const env = { DOCKER_HOST: altered.address, GLOVEBOX_ALLOW_MISSING: 'pids', ...ASKED_PIDS, ...WITHOUT_POOL };
    await using server = await startServer({ env, stateDir: newStateDir() });
    await expect.poll(server.stderr).toContain('Missing: pids (the limit is max, not 50).');
    const read = async (path: string) => await (await fetch(`${server.url}${path}`)).text();
    expect(JSON.parse(await read('/health'))).toMatchObject({ status: 'ok', missing: ['pids'] });
    expect(await read('/metrics')).toContain('glovebox_sandbox_missing{protection="pids"} 1');
    expect(await read('/')).toContain('not sealed as asked: pids.');
  });
});

test('an engine that answers the list of containers, or a new exec, with an empty body loses no session its files', async () => {
  await using altered = await AlteredEngine.open();
  await using server = await startServer({ env: { DOCKER_HOST: altered.address, ...WITHOUT_POOL } });
  await runPython(server, "open('kept', 'w').write('kept')");
  for (const call of ['GET /containers/json', 'POST /containers/ID/exec']) {
    // Its connections end, so the session needs another exec.
    altered.restart({ answers: { [call]: () => '' } });
    const session = { session_id: call.startsWith('GET') ? 'another' : 'default' };
    await expect(runPython(server, 'print(1)', session)).rejects.toThrow(
      /^503 .*engine_unavailable.*does not tell which/,
    );
  }
  altered.restart({});
  expect(await runPython(server, "print(open('kept').read())")).toMatchObject({ status: 'ok', stdout: 'kept\n' });
});

test('an engine that is started again as another, without a limit, runs nothing more until it is as it was', async () => {
  await using altered = await AlteredEngine.open();
  await using server = await startServer({ env: { DOCKER_HOST: altered.address, ...ASKED_PIDS, ...WITHOUT_POOL } });
  altered.restart(DROPS_PIDS);
  for (let call = 1; call <= 2; call += 1) {
    await expect(runPython(server, 'print(1)')).rejects.toThrow(/^503 .*engine_unavailable.*pids \(the limit is max/);
  }
  expect(await containersOf(server)).toEqual([]);
  altered.restart({});
  expect(await runPython(server, 'print(1)')).toMatchObject({ status: 'ok' });
});

test('a look is remembered: the next start of a server makes no sandbox', async () => {
  const stateDir = newStateDir();
  for (const file of ['written', 'read']) {
    let made = 0;
    const count = (body: string) => {
      made += 1;
      return body;
    };
    await using altered = await AlteredEngine.open({ requests: { [CREATE]: count } });
    await using _server = await startServer({ env: { DOCKER_HOST: altered.address, ...WITHOUT_POOL }, stateDir });
    expect([file, made]).toEqual([file, file === 'written' ? 1 : 0]);
    expect(readdirSync(join(stateDir, 'probes'))).toHaveLength(1);
  }
});

test('a kill -9 during the look leaves nothing once a server has started again', async () => {
  const stateDir = newStateDir();
  const settings = environment(stateDir, { GLOVEBOX_PORT: '0', ...WITHOUT_POOL });
  const looking = spawn(process.execPath, [CLI, 'serve'], { env: settings, stdio: 'ignore' });
  const ended = exitOf(looking);
  await expect.poll(async () => (await containersOf({ stateDir }).catch(() => [])).length).toBe(1);
  looking.kill('SIGKILL');
  await ended;
  await using server = await startServer({ env: WITHOUT_POOL, stateDir });
  await expect.poll(async () => await containersOf(server)).toEqual([]);
});

test('an image of the name that is asked for, which another program made, is refused', async () => {
  const { stdout } = await runCli(['image'], environment(newStateDir()));
  const { Config } = await engine().getImage(stdout.trim()).inspect();
  // What ours is built from has no runner.
  const stderr = await refusal({}, { GLOVEBOX_IMAGE: Config.Labels['glovebox.base'] ?? '' });
  expect(stderr).toMatch(/cannot be seen: The runner of the sandbox did not start\.\n.*GLOVEBOX_IMAGE/);
});
