import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeSettings } from './describe.ts';
import { loadConfig } from './load.ts';

const HOME = { HOME: '/home/someone' };

describe('the configuration', () => {
  it('has defaults for everything', () => {
    expect(loadConfig(HOME)).toMatchObject({
      host: '127.0.0.1',
      port: 8000,
      execTimeoutS: 30,
      memoryMb: 1024,
      stateDir: '/home/someone/.local/state/glovebox',
      apiKeysFile: '/home/someone/.local/state/glovebox/keys.json',
      allowedHosts: [],
    });
  });

  it('lets one owner have all places, a quarter of them where keys are asked for, and one for each processor at once beside others', () => {
    const limitsOf = (env: Record<string, string>) => {
      const { maxExecutions, maxExecutionsPerOwner, maxFreshExecutionsPerOwner } = loadConfig({ ...HOME, ...env });
      return [maxExecutions, maxExecutionsPerOwner, maxFreshExecutionsPerOwner];
    };
    const [all = 0, own, fresh = 0] = limitsOf({});
    expect(all).toBeGreaterThanOrEqual(8);
    expect(own).toBe(all);
    expect(fresh).toBe(Math.max(2, all / 8));
    expect(limitsOf({ GLOVEBOX_AUTH: 'keys' })).toEqual([all, all / 4, fresh]);
    expect(limitsOf({ GLOVEBOX_AUTH: 'keys', GLOVEBOX_MAX_EXECUTIONS: '6' })).toEqual([6, 2, fresh]);
    expect(limitsOf({ GLOVEBOX_MAX_EXECUTIONS: '8192', GLOVEBOX_MAX_EXECUTIONS_PER_OWNER: '5' })).toEqual([
      8192, 5, 1024,
    ]);
  });

  it('refuses a memory limit that not one sandbox would fit', () => {
    for (const name of ['GLOVEBOX_MAX_MEMORY_MB', 'GLOVEBOX_MAX_MEMORY_MB_PER_OWNER']) {
      expect(() => loadConfig({ ...HOME, [name]: '1023' })).toThrow(`${name} is 1023`);
      loadConfig({ ...HOME, [name]: '1024' });
    }
  });

  it('reserves a share of what a sandbox may use, and refuses to reserve more', () => {
    const requestsOf = (env: Record<string, string>) => {
      const { kubernetesCpuRequest, kubernetesMemoryRequestMb } = loadConfig({ ...HOME, ...env });
      return [kubernetesCpuRequest, kubernetesMemoryRequestMb];
    };
    expect(requestsOf({})).toEqual([0.1, 256]);
    expect(requestsOf({ GLOVEBOX_CPUS: '4', GLOVEBOX_MEMORY_MB: '65' })).toEqual([0.4, 17]);
    expect(requestsOf({ GLOVEBOX_KUBERNETES_CPU_REQUEST: '1' })).toEqual([1, 256]);
    expect(() => requestsOf({ GLOVEBOX_KUBERNETES_CPU_REQUEST: '1.5' })).toThrow(
      'GLOVEBOX_KUBERNETES_CPU_REQUEST is 1.5, and a sandbox may use 1 at most.',
    );
    expect(() => requestsOf({ GLOVEBOX_KUBERNETES_MEMORY_REQUEST_MB: '1025' })).toThrow('may use 1024 at most');
  });

  it.each([
    ['NAMESPACE', ['default', 'a'], ['Default', 'a.b', '-a', 'a/../b']],
    ['NODE_SELECTOR', ['a=b', 'x.io/pool=gpu, disk=', 'a=b,c=d'], ['a', '=b', 'a=b c', 'a=-b', 'X.io/a=b']],
    ['TOLERATIONS', ['a:NoSchedule', 'x.io/a=b:NoExecute,c=:NoSchedule'], ['a', 'a=b', 'a:Never', ':NoSchedule']],
    ['PULL_SECRET', ['registry.one'], ['a/b', 'A']],
    ['SECCOMP', ['runtime', 'glovebox.json', 'profiles/a.json'], ['/etc/x', '../x', 'a/../b', 'a/..', './a']],
  ])('takes what a cluster takes for kubernetes_%s, and nothing else', (name, right, wrong) => {
    const variable = `GLOVEBOX_KUBERNETES_${name}`;
    for (const value of right) loadConfig({ ...HOME, [variable]: value });
    for (const value of wrong)
      expect(() => loadConfig({ ...HOME, [variable]: value }), value).toThrow(`${variable} is "${value}": not `);
  });

  it('takes the standard variables of a cluster as they are', () => {
    const of = (env: Record<string, string>) => loadConfig({ ...HOME, ...env }).hostEnvironment.kubernetes;
    expect(of({})).toEqual({});
    expect(of({ KUBECONFIG: '/a:/b' })).toEqual({ kubeconfig: '/a:/b' });
    const service = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };
    expect(of(service)).toEqual({ service: { host: '10.96.0.1', port: '443' } });
    expect(of({ KUBERNETES_SERVICE_HOST: '10.96.0.1' })).toEqual({});
  });

  it('refuses servers that share sessions and not their archives, unless that is said', () => {
    const shared = { ...HOME, GLOVEBOX_ENGINE: 'kubernetes', GLOVEBOX_STATE: 'cluster' };
    expect(() => loadConfig(shared)).toThrow('GLOVEBOX_ARCHIVES names no bucket');
    expect(loadConfig({ ...shared, GLOVEBOX_ARCHIVES: 's3://b-1/p' }).archives).toBe('s3://b-1/p');
    expect(loadConfig({ ...shared, GLOVEBOX_ARCHIVES: 'directory' }).archives).toBe('directory');
    expect(() => loadConfig({ ...HOME, GLOVEBOX_STATE: 'cluster' })).toThrow('GLOVEBOX_ENGINE is ');
  });

  it('takes protections that may be missing, by name', () => {
    expect(loadConfig(HOME).allowMissing).toEqual([]);
    expect(loadConfig({ ...HOME, GLOVEBOX_ALLOW_MISSING: 'pids, inodes' }).allowMissing).toEqual(['pids', 'inodes']);
    expect(() => loadConfig({ ...HOME, GLOVEBOX_ALLOW_MISSING: 'all' })).toThrow(/not among user, capabilities/);
  });

  it('takes the environment, then the file, then the flags', () => {
    const directory = mkdtempSync(join(tmpdir(), 'glovebox-config-'));
    const file = join(directory, 'glovebox.json');
    writeFileSync(file, JSON.stringify({ port: 9002, memory_mb: 256, allowed_hosts: ['a', 'b'] }));
    const env = { ...HOME, GLOVEBOX_CONFIG: file, GLOVEBOX_PORT: '9001', GLOVEBOX_CPUS: '0.5' };
    expect(loadConfig(env, { memory_mb: '512' })).toMatchObject({
      port: 9002,
      cpus: 0.5,
      memoryMb: 512,
      allowedHosts: ['a', 'b'],
    });
    rmSync(directory, { recursive: true });
  });

  it('takes more ports, and none that is no port', () => {
    const portsOf = (value: string) => loadConfig({ ...HOME, GLOVEBOX_ALSO_PORTS: value }).alsoPorts;
    expect(loadConfig(HOME).alsoPorts).toEqual([]);
    expect(portsOf('8055, 9000,')).toEqual([8055, 9000]);
    for (const wrong of ['0', '65536', '80.5', '8055;9000', 'http'])
      expect(() => portsOf(wrong)).toThrow(`GLOVEBOX_ALSO_PORTS is "${wrong}": not numbers from 1 to 65535`);
  });

  it('takes commas within the specifiers of a package policy as they are meant', () => {
    const env = { ...HOME, GLOVEBOX_PACKAGES_DENY: 'demo>=2,<3, other,third!=1.0' };
    expect(loadConfig(env).packagesDeny).toEqual(['demo>=2,<3', 'other', 'third!=1.0']);
  });

  it.each([
    [undefined, 'adaptive'],
    ['none', 'none'],
    ['pandas, matplotlib.pyplot', ['pandas', 'matplotlib.pyplot']],
  ])('takes %j for what code finds loaded', (value, expected) => {
    expect(loadConfig({ ...HOME, GLOVEBOX_PRELOAD: value }).preload).toEqual(expected);
  });

  it.each(['pandas;os', 'a b', '../x', 'none,pandas', 'adaptive,none', '1a', 'a..b'])(
    'refuses %j as modules by the name of the setting',
    (value) => {
      expect(() => loadConfig({ ...HOME, GLOVEBOX_PRELOAD: value })).toThrow(/^GLOVEBOX_PRELOAD is /);
    },
  );

  it('keeps default time limits within the highest, and refuses those set above it', () => {
    expect(loadConfig({ ...HOME, GLOVEBOX_MAX_TIMEOUT_S: '20' })).toMatchObject({
      execTimeoutS: 20,
      installTimeoutS: 20,
    });
    for (const name of ['EXEC_TIMEOUT_S', 'INSTALL_TIMEOUT_S']) {
      const env = { ...HOME, GLOVEBOX_MAX_TIMEOUT_S: '20', [`GLOVEBOX_${name}`]: '21' };
      expect(() => loadConfig(env)).toThrow(`GLOVEBOX_${name} is 21, above the highest, 20.`);
    }
  });

  it('refuses times that no date can hold', () => {
    for (const name of ['IDLE_TTL_S', 'HIBERNATE_AFTER_S', 'ARCHIVE_TTL_S'])
      expect(() => loadConfig({ ...HOME, [`GLOVEBOX_${name}`]: '1e300' })).toThrow(`GLOVEBOX_${name} is "1e300"`);
  });

  it('gives the workspace half of the memory when that is less than its default', () => {
    expect(loadConfig(HOME).diskMb).toBe(512);
    expect(loadConfig({ ...HOME, GLOVEBOX_MEMORY_MB: '256' }).diskMb).toBe(128);
    expect(loadConfig({ ...HOME, GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_DISK_MB: '64' }).diskMb).toBe(64);
  });

  it.each([
    [{ GLOVEBOX_PROT: '1' }, {}, 'GLOVEBOX_PROT is not a setting.', 'Did you mean GLOVEBOX_PORT?'],
    [{ GLOVEBOX_CONSTRUCTOR: '1' }, {}, 'GLOVEBOX_CONSTRUCTOR is not a setting.', 'glovebox --help'],
    [{ GLOVEBOX_PORT: 'http' }, {}, /^GLOVEBOX_PORT is "http": this is not a number; it must be 0 to 65535\.$/, 'Port'],
    [{}, { cpus: 'many' }, /^--cpus is "many": this is not a number; it must be 0.01 to 1024\.$/, 'Processors'],
    [{ GLOVEBOX_MEMORY_MB: '-1' }, {}, /^GLOVEBOX_MEMORY_MB is "-1"/, 'Memory'],
    [{ GLOVEBOX_CONFIG: '/nowhere.json' }, {}, /\/nowhere\.json cannot be read/, 'JSON file'],
    [{ GLOVEBOX_APPROVAL_WEBHOOK: 'ftp://x' }, {}, /not an address that begins with https:/, 'Address'],
    [{ GLOVEBOX_APPROVAL_WEBHOOK: 'https://a:b@x' }, {}, /the address has a user in it/, 'Address'],
    [{}, { approval_webhook_secret: 'private' }, /^--approval-webhook-secret is not valid: shorter than 24/, 'Secret'],
    [{ GLOVEBOX_INSTANCE: 'a.b' }, {}, /^GLOVEBOX_INSTANCE is "a\.b"/, 'Name'],
  ])('refuses %j %j by name and says what to do', (env, flags, message, hint) => {
    let thrown: unknown;
    try {
      loadConfig({ ...HOME, ...env }, flags);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'invalid_input', message: expect.stringMatching(message) });
    expect((thrown as { hint: string }).hint).toContain(hint);
  });

  it('refuses to listen beyond loopback unless authentication was decided on', () => {
    for (const host of ['0.0.0.0', '::', '192.168.1.2', 'example.com']) {
      expect(() => loadConfig({ ...HOME, GLOVEBOX_HOST: host })).toThrow('anyone who reaches that address');
      for (const auth of ['none', 'keys'])
        expect(loadConfig({ ...HOME, GLOVEBOX_HOST: host, GLOVEBOX_AUTH: auth }).host).toBe(host);
    }
    for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost'])
      expect(loadConfig({ ...HOME, GLOVEBOX_HOST: host }).host).toBe(host);
  });

  it('describes every setting', () => {
    const described = describeSettings();
    for (const setting of described) expect(setting.meaning, setting.variable).not.toBe('');
    const of = (name: string) => described.find(({ variable }) => variable === name);
    expect(of('GLOVEBOX_CONCURRENCY')).toMatchObject({ allowed: '1 to 64', default: '4' });
    expect(of('GLOVEBOX_EXEC_TIMEOUT_S')).toMatchObject({ allowed: 'above 0, to 86400', default: '30' });
    expect(of('GLOVEBOX_SETUP')).toMatchObject({ allowed: 'auto|never', default: 'auto' });
    for (const { variable, allowed } of described) expect(allowed, variable).not.toContain('undefined');
  });
});
