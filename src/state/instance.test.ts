import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ephemeralName, Instance } from './instance.ts';
import { Manifests } from './manifests.ts';

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'glovebox-state-'));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

describe('an instance', () => {
  it('is held by one at a time, and free again afterwards', () => {
    const first = Instance.acquire(stateDir, 'http-8000');
    expect(() => Instance.acquire(stateDir, 'http-8000')).toThrow('A Glovebox named http-8000 is running already.');
    first[Symbol.dispose]();
    Instance.acquire(stateDir, 'http-8000')[Symbol.dispose]();
  });

  it('is free as soon as a process that held it was killed', async () => {
    const code = `import { Instance } from ${JSON.stringify(new URL('./instance.ts', import.meta.url).href)};
      globalThis.instance = Instance.acquire(${JSON.stringify(stateDir)}, 'killed'); process.stdout.write('held'); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    expect(() => Instance.acquire(stateDir, 'killed')).toThrow('running already');
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    Instance.acquire(stateDir, 'killed')[Symbol.dispose]();
  });

  it('says that its directory cannot be written, rather than that another one runs', () => {
    Instance.acquire(stateDir, 'http-8000')[Symbol.dispose]();
    // As of a volume that has been mounted read-only since: there, but nothing can be locked in it.
    rmSync(join(stateDir, 'instances', 'http-8000.lock'));
    mkdirSync(join(stateDir, 'instances', 'http-8000.lock'));
    expect(() => Instance.acquire(stateDir, 'http-8000')).toThrow(`The state directory ${stateDir} cannot be written.`);
  });

  it('does not hang where a file system denies that a parent is there, as /proc does', () => {
    expect(() => Instance.acquire('/proc/glovebox', 'http-8000')).toThrow(
      'The state directory /proc/glovebox cannot be written.',
    );
  });

  it('knows its own label and those of its state directory, and no others', () => {
    using instance = Instance.acquire(stateDir, 'http-8000');
    expect(instance.nameOf(instance.label)).toBe('http-8000');
    expect(instance.nameOf('http-8000@somebody')).toBeUndefined();
    expect(instance.nameOf('http-8000')).toBeUndefined();
  });

  it('hands over only what no process holds', async () => {
    using instance = Instance.acquire(stateDir, 'http-8000');
    const used: [string, boolean][] = [];
    const use = (name: string) =>
      instance.ifDead(name, async (_, ephemeral) => {
        used.push([name, ephemeral]);
      });
    const other = Instance.acquire(stateDir, 'http-8001');
    await use('http-8001');
    other[Symbol.dispose]();
    await use('http-8001');
    const passing = ephemeralName('stdio');
    await use(passing);
    expect(used).toEqual([
      ['http-8001', false],
      [passing, true],
    ]);
  });

  it('leaves no trace when it was ephemeral', () => {
    const name = ephemeralName('stdio');
    Instance.acquire(stateDir, name)[Symbol.dispose]();
    expect(existsSync(join(stateDir, 'instances', name))).toBe(false);
    expect(existsSync(join(stateDir, 'instances', `${name}.lock`))).toBe(false);
  });
});

describe('manifests', () => {
  const manifest = {
    key: '0123456789abcdef0123',
    session_id: 'work',
    owner: 'local',
    created_at: '2026-01-01T00:00:00.000Z',
    last_used_at: '2026-01-01T00:00:01.000Z',
  };

  it('are read as they were written', () => {
    const manifests = new Manifests(join(stateDir, 'm'));
    manifests.write(manifest);
    expect(new Manifests(join(stateDir, 'm')).readAll()).toEqual([manifest]);
    manifests.remove(manifest.key);
    expect(manifests.readAll()).toEqual([]);
  });

  it('that were cut off in the middle are no claim', () => {
    const manifests = new Manifests(join(stateDir, 'm'));
    manifests.write(manifest);
    writeFileSync(join(stateDir, 'm', 'ffffffffffffffffffff.json.new'), '{"key":');
    writeFileSync(join(stateDir, 'm', 'eeeeeeeeeeeeeeeeeeee.json'), '{}');
    expect(manifests.readAll()).toEqual([manifest]);
  });
});
