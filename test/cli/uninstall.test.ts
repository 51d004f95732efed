import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { installEngine } from '../../src/engines/docker/install/install.ts';
import { setSecret } from '../../src/secrets/changes.ts';
import { newFolder, runCommand, startOnTerminal } from '../support/command.ts';
import { freePort } from '../support/free-port.ts';
import { canStartSecond, removeSecond, secondDaemon } from '../support/second-daemon.ts';
import { containersOf, environment, newStateDir, runShell, startServer } from '../support/server.ts';

const PATIENCE = { timeout: 120_000 };

/** The environment of a user of whom all is in folders of their own. */
function ownFolders(settings: Readonly<Record<string, string>> = {}): {
  env: NodeJS.ProcessEnv;
  state: string;
  cache: string;
} {
  const home = newFolder();
  const [state, cache] = [newStateDir(), join(home, 'glovebox/packages')];
  mkdirSync(join(cache, 'files'), { recursive: true });
  writeFileSync(join(cache, 'files/one.whl'), 'x'.repeat(2048));
  return { env: environment(state, { XDG_CACHE_HOME: home, GLOVEBOX_CACHE_DIR: cache, ...settings }), state, cache };
}

describe('glovebox uninstall', () => {
  test('says what it would remove, and removes nothing where nobody confirms it', PATIENCE, async () => {
    const { env, state, cache } = ownFolders();
    const port = await freePort();
    const server = await startServer({ stateDir: state, port, env: { GLOVEBOX_POOL_SIZE: '1' } });
    await expect.poll(async () => (await containersOf(server)).length).toBe(1);
    expect(await runCommand(['uninstall'], { env })).toMatchObject({
      ...{ code: 125, stdout: '', stderr: expect.stringMatching(/is running on .*http-\d+\.\nStop it first/) },
    });
    await server.kill();
    const { code, stdout, stderr } = await runCommand(['uninstall'], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('Nothing was removed.') });
    expect(stdout).toMatch(/^ {2}containers 1 on /m);
    expect(stdout).toMatch(/glovebox-sandbox:slim-[0-9a-f]+, [\d.]+ MiB$/m);
    expect(stdout).toContain(`  state      ${state}: hibernated sessions, snapshots; `);
    expect(stdout).toMatch(new RegExp(`^ {2}cache {6}${cache}: files; 2\\.0 KiB$`, 'm'));
    expect(await containersOf(server)).toHaveLength(1);
    expect(existsSync(cache)).toBe(true);
    // A next server removes what that one could not.
    await using _next = await startServer({ stateDir: state, port });
  });

  test('removes only its own from its folders, on a terminal once that is confirmed', PATIENCE, async () => {
    const { env, state, cache } = ownFolders({ GLOVEBOX_IMAGE: 'slim' });
    const kept = await runCommand(['run', '--local', '--session', 'mine', '-c', 'print(1)'], { env });
    expect(kept).toMatchObject({ code: 0 });
    writeFileSync(join(state, 'mine.txt'), 'of somebody else');
    setSecret({ stateDir: state }, { name: 'TOKEN' }, 'canary-0123456789');
    mkdirSync(join(state, 'tool-pins'));
    writeFileSync(join(state, 'tool-pins', 'github.json'), '{}');
    const refusal = startOnTerminal(['uninstall', '--without-engine'], { env });
    await refusal.until('hibernated sessions, snapshots, secrets; ');
    await refusal.until('Remove all of this? [y/N]');
    refusal.type('n\r');
    expect((await refusal.ended).stdout).toContain('Nothing was removed.');
    expect(readdirSync(state)).toContain('instances');

    const consent = startOnTerminal(['uninstall', '--without-engine'], { env });
    await consent.until('Remove all of this? [y/N]');
    consent.type('y\r');
    expect(await consent.ended).toMatchObject({ code: 0, stdout: expect.stringContaining('Removed what was ours in') });
    expect(readdirSync(state)).toEqual(['mine.txt']);
    expect(existsSync(dirname(cache))).toBe(false);
  });

  test('says what to do where the engine does not answer, and removes nothing', PATIENCE, async () => {
    const { env, state } = ownFolders({ DOCKER_HOST: 'unix:///nowhere' });
    writeFileSync(join(state, 'keys.json'), '[]');
    const { code, stderr } = await runCommand(['uninstall', '--yes'], { env });
    expect([code, stderr]).toEqual([125, expect.stringMatching(/does not answer(.*\n)*.*uninstall --without-engine/)]);
    expect(readdirSync(state)).toContain('keys.json');
  });
});

describe.skipIf(!canStartSecond)('glovebox uninstall on an engine of its own', PATIENCE, () => {
  test('removes the images that were built, but none that is used or that is not ours', async () => {
    const root = mkdtempSync(join(tmpdir(), 'gbx-uninstall-'));
    onTestFinished(() => removeSecond(root));
    const second = await installEngine({ setup: 'auto' }, () => {}, undefined, secondDaemon(root));
    onTestFinished(() => second.stop());
    const make = async (...lines: string[]) => {
      for (const line of lines) {
        const { code, stderr } = await runShell(`export DOCKER_HOST=${second.address}; ${line}`);
        expect(code, stderr).toBe(0);
      }
    };
    const imported = (name: string) => `tar cf - -T /dev/null | docker import - ${name}`;
    await make(
      imported('glovebox-sandbox:slim-1'),
      imported('glovebox-packages:slim-1'),
      imported('glovebox-base:used'),
    );
    await make('docker tag glovebox-sandbox:slim-1 somebody/else:2');
    await make(imported('glovebox:mine'), imported('somebody/else:1'), 'docker create glovebox-base:used true');
    expect(inject('engineAddress')).not.toBe(second.address);
    const { env, state } = ownFolders({ DOCKER_HOST: second.address });
    const { code, stderr } = await runCommand(['uninstall', '--yes'], { env });
    expect({ code, stderr }).toEqual({ code: 125, stderr: expect.stringContaining('glovebox-base:used stays') });
    const { stdout } = await runShell(
      `DOCKER_HOST=${second.address} docker images --format '{{.Repository}}:{{.Tag}}'`,
    );
    expect(stdout.trim().split('\n').toSorted()).toEqual([
      'glovebox-base:used',
      'glovebox:mine',
      'somebody/else:1',
      'somebody/else:2',
    ]);
    expect(existsSync(state)).toBe(false);
  });
});
