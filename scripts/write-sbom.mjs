/**
 * Writes a software bill of materials of the runtime packages, in CycloneDX: `node scripts/write-sbom.mjs FILE`.
 * The lockfile decides what it says, so the same sources have the same bill. Runs in the build of the image as well:
 * plain JavaScript, no dependency.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('Name the file to write: node scripts/write-sbom.mjs FILE');

const { name } = readJson('package.json');
const { bill, ...own } = describe('.');
// What the page needs is in its built files.
const page = describe('dashboard');
// The time of writing is not what is described, nor the name of the folder.
const { serialNumber: _serial, ...described } = bill;
const { timestamp: _time, ...metadata } = bill.metadata;
const content = {
  ...described,
  metadata: { ...metadata, component: { ...metadata.component, name, type: 'application' } },
  components: [...own.components, ...page.components],
  dependencies: [...own.dependencies, ...page.dependencies],
};
writeFileSync(file, `${JSON.stringify({ ...content, serialNumber: serialOf(content) }, null, 2)}\n`);

/** The runtime packages of a lockfile, and what npm says of all its packages. */
function describe(folder) {
  const runtime = readRuntimePackages(folder);
  const bill = runNpm(folder, ['sbom', '--sbom-format=cyclonedx', '--package-lock-only']);
  const root = bill.metadata.component['bom-ref'];
  const components = bill.components
    .filter((component) => runtime.has(component['bom-ref']))
    .map((component) => withLicences(component, join(folder, runtime.get(component['bom-ref']), 'package.json')));
  const dependencies = bill.dependencies
    .filter(({ ref }) => (ref === root && folder === '.') || runtime.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => runtime.has(other)) }));
  const missing = [...runtime.keys()].filter((ref) => !components.some((it) => it['bom-ref'] === ref));
  if (missing.length > 0) throw new Error(`npm sbom leaves out ${missing.join(', ')}.`);
  return { bill, components, dependencies };
}

/**
 * Paths of the packages that are installed with the product, by name and version. `npm sbom --omit=dev` leaves out those
 * that a package for development needs as well (npm/cli issue 7909).
 */
function readRuntimePackages(folder) {
  const locked = Object.entries(readJson(join(folder, 'package-lock.json')).packages).filter(
    ([path, { dev }]) => path !== '' && !dev,
  );
  return new Map(locked.map(([path, { version }]) => [`${path.split('node_modules/').at(-1)}@${version}`, path]));
}

/** Packages of before 2014 name their licences in a form that npm does not know. */
function withLicences(component, manifest) {
  // An optional package is not installed everywhere.
  if (component.licenses || !existsSync(manifest)) return component;
  const { licenses = [] } = readJson(manifest);
  return { ...component, licenses: licenses.map(({ type }) => ({ license: { id: type } })) };
}

/** A UUID of what is described (RFC 9562, version 8). */
function serialOf(described) {
  const hex = createHash('sha256').update(JSON.stringify(described)).digest('hex');
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ];
  return `urn:uuid:${parts.join('-')}`;
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function runNpm(cwd, args) {
  const { status, error, stdout } = spawnSync('npm', args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw error ?? new Error(`npm ${args[0]} ended with ${status}.`);
  return JSON.parse(stdout);
}
