import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Resolves and installs; pip takes minutes for what it does in seconds. */
const UV = 'uv==0.13.9';
const INSTALL_LIMIT_MS = 240_000;

/** A file of this folder. */
export function clientFile(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/**
 * A Python with what a file of this folder pins.
 * @param bare a package that is installed without what it asks for: the file has what is needed of that
 */
export async function pythonEnvironment(requirements: string, bare?: string): Promise<string> {
  const folder = await environment(requirements, async (made) => {
    await makeVenv(made);
    const python = join(made, 'bin/python');
    await succeed(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', UV]);
    const install = ['pip', 'install', '-q', '-p', python];
    await succeed(join(made, 'bin/uv'), [...install, '-r', clientFile(requirements)]);
    if (bare) await succeed(join(made, 'bin/uv'), [...install, '--no-deps', bare]);
  });
  return join(folder, 'bin/python');
}

/** A folder whose node_modules has what a file of this folder pins; nothing of it is run on installation. */
export async function nodeEnvironment(manifest: string): Promise<string> {
  return await environment(manifest, async (made) => {
    writeFileSync(join(made, 'package.json'), readFileSync(clientFile(manifest)));
    await succeed('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', made]);
  });
}

/** A program in Go, from a folder of this one that pins what it needs. */
export async function goProgram(sources: string): Promise<string> {
  const folder = await environment(`${sources}/go.sum`, async () => {});
  cpSync(clientFile(sources), folder, { recursive: true });
  await succeed('go', ['build', '-C', folder, '-o', 'driver', '.']);
  return join(folder, 'driver');
}

const underWay = new Map<string, Promise<string>>();

/** A folder of the user's cache, named after its pins: filled once, and anew where that was broken off. */
async function environment(pins: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const made = underWay.get(pins) ?? makeEnvironment(pins, fill);
  underWay.set(pins, made);
  return await made;
}

async function makeEnvironment(pins: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const hash = createHash('sha256')
    .update(readFileSync(clientFile(pins)))
    .update(UV)
    .digest('hex')
    .slice(0, 12);
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const folder = join(cache, 'glovebox-clients', `${pins.replace(/\W/g, '-')}-${hash}`);
  const complete = join(folder, '.complete');
  if (existsSync(complete)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await fill(folder);
  writeFileSync(complete, '');
  return folder;
}

/** On Debian and Ubuntu the means are installed if need be. */
async function makeVenv(folder: string): Promise<void> {
  const make = ['-m', 'venv', folder];
  if ((await run('python3', make)).code === 0) return;
  await succeed('apt-get', ['install', '-y', 'python3-venv']);
  await succeed('python3', make);
}

async function succeed(command: string, args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await run(command, args, { limitMs: INSTALL_LIMIT_MS });
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with code ${code}:\n${stdout}${stderr}`);
}

interface Ran {
  /** Null when it had to be killed. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly input?: string;
  readonly limitMs?: number;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a command to its end, or to the end of its time. */
export async function run(
  command: string,
  args: readonly string[],
  { input = '', limitMs = INSTALL_LIMIT_MS, cwd, env }: RunOptions = {},
): Promise<Ran> {
  const place = { ...(cwd ? { cwd } : {}), ...(env ? { env } : {}) };
  const child = spawn(command, args, { timeout: limitMs, killSignal: 'SIGKILL', ...place });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => {}).end(input); // It may end without reading.
  return await new Promise((resolve) => {
    child.once('error', ({ message }) => resolve({ code: 127, stdout, stderr: message }));
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}
