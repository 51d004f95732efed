import type Docker from 'dockerode';
import { describe, expect, test } from 'vitest';
import { limitExecOptions, lookExecOptions } from '../hardening/gvisor.ts';
import { type ContainerSpec, containerOptions, killExecOptions, runnerExecOptions } from '../hardening/spec.ts';
import { checkRequest } from './policy.ts';

const IMAGE = 'glovebox-sandbox:slim-0123456789ab';
const ID = 'a'.repeat(64);
const options = { image: 'slim', keepWhile: 'glovebox-tether' };

function spec(changes: Partial<ContainerSpec> = {}): ContainerSpec {
  const sizes = { memoryMb: 1024, cpus: 1, pids: 128, diskMb: 512, maxLifetimeS: 86_400, uid: 10_007 };
  return { image: IMAGE, instance: 'http@0123abcd', key: '0123456789abcdef0123', ...sizes, ...changes };
}

/** As it comes over the wire. */
function creation(changes: Partial<ContainerSpec> = {}): Docker.ContainerCreateOptions {
  return JSON.parse(JSON.stringify(containerOptions(spec(changes)))) as Docker.ContainerCreateOptions;
}

const create = (body: unknown, url = '/containers/create?name=x') =>
  checkRequest({ method: 'POST', url, body }, options);
const ask = (method: string, url: string, body?: unknown) => checkRequest({ method, url, body }, options);

describe('a container', () => {
  test.each<Partial<ContainerSpec>>([
    {},
    { memoryMb: 64, diskMb: 8, pids: 16, cpus: 0.01 },
    { memoryMb: 3000, diskMb: 1500, cpus: 2.5, maxLifetimeS: 60 },
    { runtime: 'runsc', memoryMb: 2048 },
    { image: 'slim' },
  ])('passes as the control plane makes it, with %j', (changes) => {
    expect(create(creation(changes))).toEqual({
      path: '/containers/create?name=glovebox-0123456789abcdef0123',
      body: creation(changes),
    });
  });

  test('of an engine with user namespaces is made as such, although the control plane cannot know', () => {
    const request = { method: 'POST', url: '/containers/create?name=x', body: creation() };
    expect(checkRequest(request, { ...options, remapped: true }).body).toEqual(creation({ remapped: true }));
  });

  const hostConfigs: Record<string, unknown>[] = [
    { Privileged: true },
    { Binds: ['/:/host'] },
    { Mounts: [{ Type: 'bind', Source: '/', Target: '/host' }] },
    { VolumesFrom: ['other'] },
    { Devices: [{ PathOnHost: '/dev/mem' }] },
    { CapAdd: ['SYS_ADMIN'] },
    { CapDrop: [] },
    { NetworkMode: 'host' },
    { PidMode: 'host' },
    { IpcMode: 'host' },
    { UTSMode: 'host' },
    { UsernsMode: 'host' },
    { CgroupnsMode: 'host' },
    { ReadonlyRootfs: false },
    { SecurityOpt: ['no-new-privileges', 'seccomp=unconfined'] },
    { MaskedPaths: [] },
    { Tmpfs: { '/workspace': 'rw,size=1m' } },
    { OomKillDisable: true },
    { PidsLimit: -1 },
    { Memory: 0 },
    { AFieldOfTomorrow: true },
    // The engine reads names of fields in any case.
    { privileged: true },
  ];
  test.each(hostConfigs)('does not pass with %j', (change) => {
    const body = creation();
    expect(() => create({ ...body, HostConfig: { ...body.HostConfig, ...change } })).toThrow(
      /^Refused by the socket proxy/,
    );
  });

  test.each<Record<string, unknown>>([
    { Image: 'debian:12' },
    { Image: `evil/${IMAGE}` },
    { User: '0:0' },
    { Entrypoint: ['/bin/sh'] },
    { Cmd: ['86400', ';', 'sh'] },
    { Env: ['LD_PRELOAD=/x'] },
    { Labels: {} },
    { hostconfig: { Privileged: true } },
    { NetworkingConfig: { EndpointsConfig: { bridge: {} } } },
    { name: '../other' },
  ])('does not pass with %j', (change) => {
    expect(() => create({ ...creation(), ...change })).toThrow(/^Refused by the socket proxy/);
  });

  test.each([undefined, null, [], 'text', {}, { HostConfig: null }])('does not pass as %j', (body) => {
    expect(() => create(body)).toThrow('Refused by the socket proxy: its image is not allowed.');
  });

  test('gets the name and nothing else of its query', () => {
    const passage = create(creation(), '/containers/create?name=other&platform=windows');
    expect(passage.path).toBe('/containers/create?name=glovebox-0123456789abcdef0123');
  });
});

describe('an exec', () => {
  test.each([...[runnerExecOptions(10_007), killExecOptions(59_999)], ...[limitExecOptions(96), lookExecOptions()]])(
    'passes into a sandbox as %j',
    (body) => {
      expect(ask('POST', `/containers/${ID}/exec`, JSON.parse(JSON.stringify(body)))).toEqual({
        path: `/containers/${ID}/exec`,
        sandbox: ID,
        body,
        makesExec: true,
      });
    },
  );

  test.each<Record<string, unknown>>([
    { Privileged: true },
    { privileged: true },
    { User: '0:0' },
    { User: '65532:65532' },
    { User: '10007:0' },
    { Cmd: ['/bin/sh'] },
    { Env: ['PYTHONPATH=/workspace'] },
    { WorkingDir: '/workspace' },
    { Tty: true },
    { ...limitExecOptions(96), Cmd: ['/bin/sh', '-c', 'echo 96 > /sys/fs/cgroup/pids/pids.max && id'] },
    { ...limitExecOptions(96), User: '65532:65532' },
    { ...lookExecOptions(), User: '0:0' },
  ])('does not pass with %j', (change) => {
    const body = { ...runnerExecOptions(10_007), ...change };
    expect(() => ask('POST', `/containers/${ID}/exec`, body)).toThrow('neither starts a runner');
  });

  test('is started by its number alone, whatever the request says', () => {
    expect(ask('POST', `/exec/${ID}/start?x=1`, { Detach: true, Tty: true })).toEqual({
      path: `/exec/${ID}/start`,
      exec: ID,
      body: { Detach: false, Tty: false },
    });
  });
});

describe('of all else', () => {
  test('containers are started, watched and removed only as sandboxes, by a query of our own', () => {
    expect(ask('POST', `/containers/${ID}/start?checkpoint=x`)).toEqual({
      path: `/containers/${ID}/start`,
      sandbox: ID,
    });
    expect(ask('GET', `/containers/${ID}/top?ps_args=--help`)).toMatchObject({
      path: expect.stringMatching(/ps_args=-eo%20/),
      sandbox: ID,
    });
    expect(ask('DELETE', `/containers/glovebox-1?link=true`)).toEqual({
      path: '/containers/glovebox-1?force=true&v=true',
      sandbox: 'glovebox-1',
    });
    expect(ask('GET', '/containers/json?all=true').path).toContain('glovebox.key');
  });

  test('the container that sessions are kept for may be inspected, and no other', () => {
    expect(ask('GET', '/containers/glovebox-tether/json')).toEqual({ path: '/containers/glovebox-tether/json' });
    expect(() => ask('GET', '/containers/other/json')).toThrow('only glovebox-tether');
  });

  test.each([
    ['POST', '/build'],
    ['POST', '/images/create?fromImage=x'],
    ['POST', '/images/load'],
    ['DELETE', '/images/x'],
    ['GET', '/images/../containers/x/json'],
    ['GET', '/images/./json'],
    ['GET', '/info'],
    ['GET', '/events'],
    ['GET', `/containers/${ID}/archive?path=/`],
    ['PUT', `/containers/${ID}/archive?path=/`],
    ['GET', `/containers/${ID}/export`],
    ['POST', `/containers/${ID}/attach`],
    ['POST', `/containers/${ID}/update`],
    ['POST', `/containers/${ID}/../x/start`],
    ['POST', `/containers/${ID}%2f..%2fx/start`],
    ['POST', '/v1.41/containers/create'],
    ['POST', '/commit'],
    ['POST', '/volumes/create'],
    ['POST', '/networks/create'],
    ['POST', '/swarm/init'],
    ['POST', '/plugins/pull'],
    ['POST', '/session'],
    ['CONNECT', '/'],
    ['GET', 'http://other/_ping'],
  ])('%s %s does not pass', (method, url) => {
    expect(() => ask(method, url)).toThrow(/^Refused by the socket proxy/);
  });
});
