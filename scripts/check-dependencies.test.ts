import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, expect, test, vi } from 'vitest';
import { checkDependencies } from './check-dependencies.ts';
import type { DependencyPolicy } from './dependencies/policy.ts';
import { isAllowed } from './dependencies/rules.ts';

// npm is slow on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const POLICY: DependencyPolicy = {
  maxRuntimePackages: 2,
  licences: { runtime: ['MIT'], development: ['MIT', 'MPL-2.0'] },
  leastSeverity: { runtime: 'low', development: 'high' },
  acceptedAdvisories: [],
};
const ADVISORY = { id: 'GHSA-aaaa-bbbb-cccc', package: 'left', reason: 'The function is not called.' };

interface Locked {
  readonly license?: string;
  readonly dev?: true;
  readonly hasInstallScript?: true;
}

const undo: (() => void)[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  for (const step of undo.splice(0)) step();
});

/** A project with a lockfile; its packages are installed, each with one file of 1,000,000 bytes. */
function project(packages: Readonly<Record<string, Locked>>, options: { manifest?: object; registry?: string } = {}) {
  const { manifest = {}, registry = 'http://127.0.0.1:9/' } = options;
  const root = mkdtempSync(join(tmpdir(), 'glovebox-dependencies-'));
  undo.push(() => rmSync(root, { recursive: true }));
  const dependencies: Record<string, string> = {};
  const devDependencies: Record<string, string> = {};
  const own = { name: 'project', version: '1.0.0', dependencies, devDependencies };
  const locked: Record<string, object> = { '': own };
  for (const [name, entry] of Object.entries(packages)) {
    (entry.dev ? devDependencies : dependencies)[name] = '1.0.0';
    locked[`node_modules/${name}`] = { version: '1.0.0', ...entry };
    mkdirSync(join(root, 'node_modules', name), { recursive: true });
    writeFileSync(join(root, 'node_modules', name, 'package.json'), JSON.stringify({ name, version: '1.0.0' }));
    writeFileSync(join(root, 'node_modules', name, 'data'), Buffer.alloc(1_000_000));
  }
  writeFileSync(join(root, 'package.json'), JSON.stringify({ ...own, ...manifest }));
  writeFileSync(join(root, 'package-lock.json'), JSON.stringify({ lockfileVersion: 3, packages: locked }));
  // npm prefers these to its files, and remembers advisories.
  vi.stubEnv('npm_config_registry', registry);
  vi.stubEnv('npm_config_cache', join(root, 'cache'));
  return root;
}

/** A registry that knows one advisory, of the package `left`. */
async function registry(severity: string): Promise<string> {
  const server = createServer(async (request, response) => {
    if (request.method !== 'POST') {
      response.writeHead(404).end('{}');
      return;
    }
    const body = Buffer.concat(await request.toArray());
    const asked = JSON.parse((request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString());
    const advisory = {
      id: 1,
      url: `https://github.com/advisories/${ADVISORY.id}`,
      title: 'Left does wrong',
      severity,
      vulnerable_versions: '<2',
      cwe: [],
      cvss: { score: 0, vectorString: null },
    };
    response.end(JSON.stringify('left' in asked ? { left: [advisory] } : {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

test('dependencies that keep the rules pass, with their number, their size and what was not asked', async () => {
  const root = project({
    left: { license: 'MIT' },
    right: { license: 'MIT' },
    tool: { license: 'MPL-2.0', dev: true },
  });
  const { breaches, summary } = await checkDependencies(root, POLICY);
  expect(breaches).toEqual([]);
  expect(summary).toMatch(/^2 runtime packages of at most 2, 2\.0 MB; advisories not checked \(.*ECONNREFUSED.*\)$/);
});

test('a runtime package too many is a breach', async () => {
  const root = project({ left: { license: 'MIT' }, right: { license: 'MIT' }, third: { license: 'MIT' } });
  expect((await checkDependencies(root, POLICY)).breaches).toEqual([
    expect.stringContaining('3 runtime packages, at most 2'),
  ]);
});

test('a script that runs at installation is a breach until it is refused', async () => {
  const packages = { left: { license: 'MIT', hasInstallScript: true } } as const;
  const named = [expect.stringContaining('left 1.0.0 (runtime) runs a script')];
  expect((await checkDependencies(project(packages), POLICY)).breaches).toEqual(named);
  const allowed = project(packages, { manifest: { allowScripts: { left: true } } });
  expect((await checkDependencies(allowed, POLICY)).breaches).toEqual(named);
  const refused = project(packages, { manifest: { allowScripts: { left: false } } });
  expect((await checkDependencies(refused, POLICY)).breaches).toEqual([]);
});

test('a script at installation that the lockfile does not tell of is a breach', async () => {
  const root = project({ left: { license: 'MIT' } });
  const scripts = { postinstall: 'node data' };
  writeFileSync(join(root, 'node_modules/left/package.json'), JSON.stringify({ name: 'left', scripts }));
  expect((await checkDependencies(root, POLICY)).breaches).toEqual([
    expect.stringContaining('left 1.0.0 (runtime) runs a script'),
  ]);
});

test('a licence that is allowed in development only is a breach at runtime', async () => {
  const root = project({ left: { license: 'MPL-2.0' }, tool: { license: 'MPL-2.0', dev: true } });
  expect((await checkDependencies(root, POLICY)).breaches).toEqual([
    'left 1.0.0 (runtime) has the licence MPL-2.0, which is not on the list.',
  ]);
});

test('a package without a licence is a breach, unless it names one in the form of before 2014', async () => {
  const root = project({ left: {}, right: {} });
  const licenses = [{ type: 'MIT', url: 'LICENSE' }];
  writeFileSync(join(root, 'node_modules/right/package.json'), JSON.stringify({ name: 'right', licenses }));
  expect((await checkDependencies(root, POLICY)).breaches).toEqual([
    'left 1.0.0 (runtime) has the licence that nobody names, which is not on the list.',
  ]);
});

test.each([
  ['MIT', true],
  ['(MIT OR GPL-3.0-only)', true],
  ['GPL-3.0-only OR MIT', true],
  ['MIT AND GPL-3.0-only', false],
  ['(MIT OR ISC) AND GPL-3.0-only', false],
  ['SEE LICENSE IN LICENSE', false],
  ['UNLICENSED', false],
])('of the licence %s it is known whether it is allowed: %s', (expression, expected) => {
  expect(isAllowed(expression, ['MIT', 'ISC'])).toBe(expected);
});

test('an advisory is a breach until it is accepted', async () => {
  const root = project({ left: { license: 'MIT' } }, { registry: await registry('low') });
  const found = await checkDependencies(root, POLICY);
  expect(found.breaches).toEqual([expect.stringContaining(`left (runtime), low: Left does wrong. https://`)]);
  expect(found.summary).toContain('advisories checked');
  const accepted = await checkDependencies(root, { ...POLICY, acceptedAdvisories: [ADVISORY] });
  expect(accepted.breaches).toEqual([]);
});

test('an advisory of a package for development is a breach from high on', async () => {
  const packages = { left: { license: 'MIT', dev: true } } as const;
  const mild = project(packages, { registry: await registry('moderate') });
  expect((await checkDependencies(mild, POLICY)).breaches).toEqual([]);
  const bad = project(packages, { registry: await registry('high') });
  expect((await checkDependencies(bad, POLICY)).breaches).toEqual([
    expect.stringContaining('left (development), high'),
  ]);
});

test('an accepted advisory that is no longer reported is a breach', async () => {
  const root = project({ right: { license: 'MIT' } }, { registry: await registry('low') });
  expect((await checkDependencies(root, { ...POLICY, acceptedAdvisories: [ADVISORY] })).breaches).toEqual([
    'GHSA-aaaa-bbbb-cccc of left is accepted but no longer reported: take it off the list.',
  ]);
});
