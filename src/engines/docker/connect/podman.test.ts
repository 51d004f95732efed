import { describe, expect, test } from 'vitest';
import { assertPodmanUsable, assertPodmanVersion, readPodmanVersion } from './podman.ts';

const LOCAL = 'unix:///run/podman/podman.sock';

describe('what an engine is', () => {
  test('is Podman by its own word', () => {
    const components = [
      { Name: 'Podman Engine', Version: '5.4.2' },
      { Name: 'Conmon', Version: '2.1.12' },
    ];
    expect(readPodmanVersion({ Components: components })).toBe('5.4.2');
  });

  test('is another where it says something else, or nothing', () => {
    expect(readPodmanVersion({ Components: [{ Name: 'Engine', Version: '20.10.24' }] })).toBeUndefined();
    expect(readPodmanVersion({})).toBeUndefined();
  });
});

describe('Podman is refused', () => {
  test('before version 5, with the reason', () => {
    expect(() => assertPodmanVersion('4.3.1', LOCAL)).toThrow('Podman 5 or newer: older ones give the disks');
    expect(() => assertPodmanVersion('5.0.0', LOCAL)).not.toThrow();
    expect(() => assertPodmanVersion('10.1.0', LOCAL)).not.toThrow();
  });

  test.each(['ssh://someone@elsewhere', 'tcp://127.0.0.1:2375', 'npipe:////./pipe/podman-machine-default'])(
    'at %s, where it reads no file of this machine',
    (address) => {
      expect(() => assertPodmanUsable({ address, facts: {} })).toThrow('on another machine');
    },
  );

  test('from the container of a control plane, whose files it does not see', () => {
    const use = { address: LOCAL, facts: {}, isInContainer: true };
    expect(() => assertPodmanUsable(use)).toThrow('sees no files of this container');
  });

  test('without root on control groups of version 1, where it has no limits', () => {
    const check = (Rootless: boolean, CgroupVersion: string) => () =>
      assertPodmanUsable({ address: LOCAL, facts: { Rootless, CgroupVersion } });
    expect(check(true, '1')).toThrow('limits neither memory');
    expect(check(true, '2')).not.toThrow();
    expect(check(false, '1')).not.toThrow();
  });

  test('unless both may be missing', () => {
    const use = { address: LOCAL, facts: { Rootless: true, CgroupVersion: '1' } };
    expect(() => assertPodmanUsable({ ...use, allowMissing: ['pids'] })).toThrow('limits neither memory');
    expect(() => assertPodmanUsable({ ...use, allowMissing: ['memory', 'pids'] })).not.toThrow();
  });

  test('with gVisor, which was tried with Docker only', () => {
    const check = (runtime: string) => () => assertPodmanUsable({ address: LOCAL, facts: {}, runtime });
    expect(check('runsc')).toThrow('works with Docker only');
    expect(check('crun')).not.toThrow();
  });
});
