/**
 * Readies a clone: installs the npm dependencies, compiles src/ to dist/, and builds the page of dashboard/ into it. Each
 * is skipped when it is done.
 * Runs before every npm script, so before there is a node_modules and on any Node from 18 on: plain JavaScript,
 * no dependency. Says what it does on stderr, for stdout may carry MCP.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MODULES = join(ROOT, 'node_modules');
/** The page, a package of its own. */
const PAGE = join(ROOT, 'dashboard');
/** The generator of the documentation's site, which nothing else needs. */
const WEBSITE = join(ROOT, 'website');
const PACKAGES = [ROOT, PAGE, ...(process.argv.includes('--site') ? [WEBSITE] : [])];
const DIST = join(ROOT, 'dist');
const LOCK = join(ROOT, '.setup.lock');
/** Hash of the sources that dist/ was built from; goes when dist/ goes. */
const BUILD_STAMP = join(DIST, '.glovebox-build');
/** An install over a slow line takes minutes; a lock older than this outlived its holder. */
const LOCK_LIMIT_MS = 15 * 60 * 1000;

const builds = !process.argv.includes('--no-build');

try {
  // Before anything is downloaded: without an engine it would be in vain.
  if (process.argv.includes('--engine')) checkEngine();
  if (!PACKAGES.every(isInstalled) || (builds && !isBuilt())) {
    withLock(() => {
      for (const folder of PACKAGES) if (!isInstalled(folder)) install(folder);
      if (builds && !isBuilt()) build();
    });
  }
} catch (error) {
  process.stderr.write(`glovebox setup: ${error.message}\n`);
  process.exitCode = 1;
}

/**
 * Whether this user may use an engine of this machine, or install one; where another is named, the start asks that.
 * The places are those of src/engines/docker/connect/endpoints.ts.
 */
function checkEngine() {
  // biome-ignore lint/style/noProcessEnv: configuration is not loaded yet
  const { DOCKER_HOST, DOCKER_CONTEXT, XDG_RUNTIME_DIR, HOME = '', GLOVEBOX_SETUP } = process.env;
  const namesOne =
    DOCKER_HOST || DOCKER_CONTEXT || /"currentContext"/.test(readText(join(HOME, '.docker/config.json')) ?? '');
  if (process.platform !== 'linux' || namesOne) return;
  const atHome = [
    '.docker/run',
    '.docker/desktop',
    '.orbstack/run',
    '.colima/default',
    '.config/colima/default',
    '.rd',
  ];
  const atRuntime = XDG_RUNTIME_DIR
    ? ['docker.sock', 'podman/podman.sock'].map((name) => join(XDG_RUNTIME_DIR, name))
    : [];
  const found = [
    '/var/run/docker.sock',
    '/run/podman/podman.sock',
    ...atRuntime,
    ...atHome.map((folder) => join(HOME, folder, 'docker.sock')),
  ].filter((path) => fs.existsSync(path));
  if (found.some(mayUse) || (process.getuid?.() === 0 && GLOVEBOX_SETUP !== 'never')) return;
  throw new Error(
    found[0] === undefined
      ? 'No container engine is on this machine, and this user may not install one. Install Docker ("sudo apt-get install docker.io" on Debian and Ubuntu), or set DOCKER_HOST to one elsewhere; then run this again.'
      : `This user may not use the container engine at ${found[0]}. Run "sudo usermod -aG docker $USER", then log out and in again, and run this again.`,
  );
}

function mayUse(path) {
  try {
    fs.accessSync(path, fs.constants.R_OK | fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** npm keeps a list of what it put into node_modules, written last; it must agree with the lockfile. */
function isInstalled(folder) {
  const wanted = readPackages(join(folder, 'package-lock.json'));
  const installed = readPackages(join(folder, 'node_modules', '.package-lock.json'));
  for (const [path, { version, integrity, optional, devOptional }] of Object.entries(wanted)) {
    const found = installed[path];
    // Those of other platforms are left out.
    if (path === '' || (!found && (optional || devOptional))) continue;
    if (found?.version !== version || found?.integrity !== integrity) return false;
  }
  return Object.keys(installed).every((path) => path in wanted);
}

function readPackages(lockfile) {
  try {
    return JSON.parse(readText(lockfile) ?? '{}').packages ?? {};
  } catch {
    return {};
  }
}

function install(folder) {
  const whose = { [PAGE]: ' of the page', [WEBSITE]: ' of the site' }[folder] ?? '';
  say(`Installing dependencies${whose} (npm ci) …`);
  // Not `npm ci` alone: it refuses a lockfile from a registry that lacks the binaries of other platforms.
  // Both install what the lockfile names, and neither writes it.
  const refusal = runNpm(folder, ['ci']);
  const failure = refusal?.includes('EUSAGE') ? runNpm(folder, ['install', '--no-save']) : refusal;
  if (failure === undefined) return;
  process.stderr.write(failure);
  throw new Error(
    'npm could not install the dependencies. Check that it reaches its registry ("npm ping"), then run this again.',
  );
}

/** What npm said, if it failed. */
function runNpm(folder, command) {
  // biome-ignore lint/style/noProcessEnv: npm says only there which npm it is, and configuration is not loaded yet
  const { npm_execpath: npm, PATH: path = '' } = process.env;
  const args = [...command, '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const options = { cwd: folder, stdio: ['ignore', 2, 'pipe'], encoding: 'utf8' };
  // Yarn and pnpm name themselves there too, and know no `ci`.
  const result =
    npm && /npm-cli\.c?js$/.test(npm)
      ? spawnSync(findNode(path), [npm, ...args], options)
      : spawnSync('npm', args, { ...options, shell: process.platform === 'win32' });
  if (result.status === 0) return undefined;
  return result.stderr || `${result.error?.message ?? `npm ${command[0]} ended with ${result.status}`}\n`;
}

/** A Node that is not the one in node_modules, which npm is about to remove. */
function findNode(path) {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  const elsewhere = [process.execPath, ...path.split(delimiter).map((folder) => join(folder, name))];
  return elsewhere.find((node) => !node.startsWith(ROOT) && fs.existsSync(node)) ?? process.execPath;
}

function isBuilt() {
  return readText(BUILD_STAMP) === hashSources();
}

function build() {
  say('Building …');
  const sources = hashSources();
  for (const name of fs.readdirSync(ROOT)) {
    if (/^dist\.\d+$/.test(name)) fs.rmSync(join(ROOT, name), { recursive: true, force: true });
  }
  const made = `${DIST}.${process.pid}`;
  try {
    const tsc = join(MODULES, 'typescript', 'bin', 'tsc');
    const args = [tsc, '-p', 'tsconfig.build.json', '--outDir', made];
    const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 2, 2] });
    if (status !== 0) throw new Error('src/ does not compile. Correct the errors above, then run this again.');
    // Not imported above: a build of the image has this script alone.
    spawnSync(process.execPath, [join(ROOT, 'scripts/prune-declarations.mjs'), made], { stdio: ['ignore', 2, 2] });
    buildPage(made);
    fs.writeFileSync(join(made, relative(DIST, BUILD_STAMP)), sources);
    // Whole folders are exchanged, so that no file of an older build stays and a running server misses none for long.
    fs.rmSync(DIST, { recursive: true, force: true });
    fs.renameSync(made, DIST);
  } finally {
    fs.rmSync(made, { recursive: true, force: true });
  }
}

function buildPage(folder) {
  const vite = join(PAGE, 'node_modules', 'vite', 'bin', 'vite.js');
  const args = [vite, 'build', '--outDir', join(folder, 'dashboard'), '--logLevel', 'error'];
  const { status } = spawnSync(pinnedNode(), args, { cwd: PAGE, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error('dashboard/ does not build. Correct the errors above, then run this again.');
}

/** The Node that npm scripts run on: the one that runs this may be older than the bundler can use. */
function pinnedNode() {
  const pinned = join(MODULES, 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  return fs.existsSync(pinned) ? pinned : process.execPath;
}

function hashSources() {
  const sources = listFiles(join(ROOT, 'src')).filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'));
  const settings = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json', 'scripts/prune-declarations.mjs'].map(
    (name) => join(ROOT, name),
  );
  const page = ['index.html', 'package-lock.json', 'tsconfig.json', 'vite.config.ts'].map((name) => join(PAGE, name));
  const ofPage = [...page, ...['src', 'public'].flatMap((name) => listFiles(join(PAGE, name)))];
  return hashFiles([...settings, ...sources.sort(), ...ofPage.sort()]);
}

function listFiles(directory) {
  return fs
    .readdirSync(directory, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? listFiles(join(directory, entry.name)) : [join(directory, entry.name)]));
}

function hashFiles(paths) {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(`${relative(ROOT, path)}\0${readText(path)}\0`);
  return hash.digest('hex');
}

function readText(path) {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** One at a time in a clone: the second waits, and then finds the work done. */
function withLock(work) {
  let said = false;
  while (!takeLock()) {
    if (!said) say('Waiting for another setup of this clone …');
    said = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
  process.once('exit', releaseLock);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  try {
    work();
  } finally {
    releaseLock();
  }
}

function takeLock() {
  try {
    fs.writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (isAbandoned()) fs.rmSync(LOCK, { force: true });
    return false;
  }
}

function isAbandoned() {
  try {
    if (Date.now() - fs.statSync(LOCK).mtimeMs > LOCK_LIMIT_MS) return true;
    const holder = Number(readText(LOCK));
    if (holder > 0) process.kill(holder, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

function releaseLock() {
  if (readText(LOCK) === String(process.pid)) fs.rmSync(LOCK, { force: true });
}

function say(message) {
  process.stderr.write(`${message}\n`);
}
