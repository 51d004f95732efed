import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../config/load.ts';
import type { Finding } from '../../lib/finding.ts';
import { examineDocker } from './examine.ts';

/** What Podman without root says of itself with control groups of version 1, where none of these limits is there. */
const ROOTLESS_PODMAN = {
  '/version': {
    ...{ Version: '5.4.2', ApiVersion: '1.41' },
    Components: [{ Name: 'Podman Engine', Version: '5.4.2' }],
  },
  '/info': {
    ...{ NCPU: 64, Rootless: true, CgroupVersion: '1', Driver: 'overlay', Runtimes: { crun: {} } },
    ...{ MemoryLimit: true, PidsLimit: true, CpuCfsQuota: true, SwapLimit: true },
  },
};

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gbx-examine-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** What is found of an engine that answers these calls with 200, and any other with 404, as one without an image does. */
async function examine(answers: Readonly<Record<string, unknown>>, env: Readonly<Record<string, string>> = {}) {
  const path = join(directory, 'engine.sock');
  const server = createServer(({ url = '' }, response) => {
    const answer = url.endsWith('/_ping') ? 'OK' : answers[url.replace(/^\/v[\d.]+/, '')];
    response.writeHead(answer === undefined ? 404 : 200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(answer ?? { message: 'not found' }));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    const settings = { HOME: directory, DOCKER_HOST: `unix://${path}`, GLOVEBOX_STATE_DIR: directory, ...env };
    const found: Finding[] = [];
    const tell = (findings: readonly Finding[]) => void found.push(...findings);
    const runProbe = async (): Promise<Finding[]> => [['ok', 'sandbox', 'seen']];
    tell(await examineDocker(loadConfig(settings), { tell, runProbe }));
    return Object.fromEntries(found.map(([level, what, said]) => [what, `${level} ${said}`]));
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test('the doctor said of rootless Podman that limits take effect which are not there, and was content without an image', async () => {
  expect(await examine(ROOTLESS_PODMAN)).toMatchObject({
    'memory limit': 'fail has no effect',
    'pids limit': 'fail has no effect',
    'cpu limit': 'warn has no effect',
    'swap limit': 'warn has no effect',
    sandbox: expect.stringMatching(/^fail Podman .* limits neither memory nor processes there\.$/),
  });
  const allowed = await examine(ROOTLESS_PODMAN, { GLOVEBOX_ALLOW_MISSING: 'memory,pids' });
  expect(allowed).toMatchObject({
    'memory limit': 'warn has no effect',
    sandbox: expect.stringMatching(/^warn .*missing/),
  });
});

test('what only the engine says of its limits is told as its word', async () => {
  const rootful = { ...ROOTLESS_PODMAN['/info'], Rootless: false, SwapLimit: false };
  expect(await examine({ ...ROOTLESS_PODMAN, '/info': rootful })).toMatchObject({
    'memory limit': 'ok the engine says that it has one',
    'swap limit': 'warn has no effect',
    sandbox: expect.stringMatching(/^warn .*missing/),
  });
  expect(await examine({ ...ROOTLESS_PODMAN, '/info': '' })).toMatchObject({
    'memory limit': 'warn the engine does not say',
  });
});
