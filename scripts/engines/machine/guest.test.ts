import { expect, test } from 'vitest';
import { CATALOG } from '../catalog.ts';
import { guestFiles } from './guest.ts';

const filesOf = (name: string) => {
  const entry = CATALOG.find((one) => one.name === name);
  if (!entry) throw new Error(`There is no ${name}.`);
  return guestFiles(entry, '/tmp/shared');
};

test('a rootful engine is a service of the system', () => {
  const files = filesOf('docker-v2');
  expect(files['etc/systemd/system/engine.service']).toContain('ExecStart=/usr/sbin/dockerd ');
  expect(files['etc/systemd/system/glovebox.target']).toContain('Wants=engine.service');
  expect(files['etc/systemd/system/forward.service']).toContain('UNIX-CONNECT:/run/engine.sock');
});

test('a rootless engine is a service of its user, to whom systemd hands control groups', () => {
  for (const name of ['rootless-docker-v2', 'rootless-podman-v2']) {
    const files = filesOf(name);
    expect(files['etc/systemd/user/engine.service']).toContain('Delegate=yes');
    expect(files['etc/systemd/user/default.target.d/engine.conf']).toContain('Wants=engine.service');
    expect(files['etc/systemd/system/glovebox.target']).not.toContain('engine.service');
    expect(files['etc/systemd/system/forward.service']).toContain('UNIX-CONNECT:/run/user/1000/engine.sock');
    expect(files).toHaveProperty('var/lib/systemd/linger/eng');
  }
});

test("Docker's settings and the folder of the tests' files are in the machine", () => {
  const files = filesOf('crun-v2');
  expect(JSON.parse(files['etc/docker/daemon.json'] ?? '')).toEqual({ runtimes: { crun: { path: '/usr/bin/crun' } } });
  expect(files['etc/systemd/system/prepare.service']).toContain('Environment=SHARED=/tmp/shared');
});

test('settings of another host are there before its engine starts', () => {
  const prepare = filesOf('counted-v2')['etc/systemd/system/prepare.service'];
  expect(prepare).toContain('; echo 2 > /proc/sys/vm/overcommit_memory; ');
  expect(prepare).toContain('Before=basic.target');
});
