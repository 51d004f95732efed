import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** npm is slow on a busy machine. */
const NPM_LIMIT_MS = 60_000;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'glovebox-sbom-'));
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

interface Bill {
  readonly metadata: { readonly component: { readonly name: string } };
  readonly components: readonly { readonly 'bom-ref': string; readonly licenses: readonly object[] }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** What a lockfile installs with the product, or what is in the files of the page. */
async function runtimeOf(lockfile: string): Promise<string[]> {
  const { packages } = JSON.parse(await readFile(join(ROOT, lockfile), 'utf8'));
  const runtime = Object.keys(packages).filter((path) => path !== '' && !packages[path].dev);
  return runtime.map((path) => `${path.split('node_modules/').at(-1)}@${packages[path].version}`);
}

test('the package holds a bill of all its runtime packages and no others, the same each time', {
  timeout: NPM_LIMIT_MS,
}, async () => {
  const names = ['package.json', 'package-lock.json', 'scripts'];
  await Promise.all(names.map((name) => cp(join(ROOT, name), join(directory, name), { recursive: true })));
  await mkdir(join(directory, 'dashboard'));
  for (const name of ['dashboard/package.json', 'dashboard/package-lock.json']) {
    await cp(join(ROOT, name), join(directory, name));
  }
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  await mkdir(join(directory, 'dist'));
  await writeFile(join(directory, 'dist/cli.js'), '');
  // There are no sources to build.
  await writeFile(join(directory, 'scripts/setup.mjs'), '');
  const { stdout } = await run('npm', ['pack', '--json'], { cwd: directory });
  const [{ filename }] = JSON.parse(stdout);
  const packed = await run('tar', ['-xOzf', filename, 'package/sbom.cdx.json'], { cwd: directory });
  const bill: Bill = JSON.parse(packed.stdout);

  const refs = [...(await runtimeOf('package-lock.json')), ...(await runtimeOf('dashboard/package-lock.json'))];
  expect(bill.components.map((it) => it['bom-ref']).sort()).toEqual([...new Set(refs)].sort());
  expect(bill.components.filter(({ licenses }) => licenses.length === 0)).toEqual([]);
  expect(bill.dependencies.flatMap(({ dependsOn }) => dependsOn).filter((ref) => !refs.includes(ref))).toEqual([]);
  expect(bill.metadata.component.name).toBe('glovebox');

  await run(process.execPath, ['scripts/write-sbom.mjs', 'again.json'], { cwd: directory });
  expect(await readFile(join(directory, 'again.json'), 'utf8')).toBe(packed.stdout);
});
