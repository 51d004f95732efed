import { resolve } from 'node:path';
import type { Client, ClientEvent, ProgramEnd } from '../../client/client.ts';
import { pictureProtocol } from '../../config/host-environment.ts';
import type { Config } from '../../config/load.ts';
import { GloveboxError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { type ClientCommandOptions, type Work, withClient } from '../with-client.ts';
import { exitStatus, OWN_FAILURE } from './exit-status.ts';
import { explainEnd } from './explain-end.ts';
import { fetchMade } from './fetch-made.ts';
import { findFiles, type LocalFile, readLocal } from './local-files.ts';
import { PictureFiles, pictureOf, showOnTerminal } from './pictures.ts';
import { readMemory, readTimeout } from './quantities.ts';
import { type NamedProgram, readProgram } from './read-program.ts';
import { pipedInput } from './standard-input.ts';

/** Options of `glovebox run`, as the command line has them. */
export interface RunOptions extends ClientCommandOptions {
  readonly code?: string;
  readonly with?: readonly string[];
  readonly file?: readonly string[];
  readonly out?: string;
  readonly session?: string;
  readonly timeout?: string;
  readonly memory?: string;
  readonly web?: readonly string[];
}

/** What is to be run, read and checked before anything starts. */
interface Job {
  readonly code: string;
  readonly args: readonly string[];
  /** Path of the program's file, if it has one. */
  readonly file: string | undefined;
  readonly files: readonly LocalFile[];
  readonly packages: readonly string[];
  readonly out: string | undefined;
  readonly session: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly memoryMb: number | undefined;
  /** Patterns of hosts that it may reach. */
  readonly web: readonly string[] | undefined;
  /** Whether the program's standard input is that of the command. */
  readonly takesInput: boolean;
}

/** Runs `glovebox run`. The exit status is the program's, or says how it ended. */
export async function runRun(
  config: Config,
  words: readonly string[],
  options: RunOptions,
  context: CommandContext,
): Promise<void> {
  const job = await readJob(words, options);
  const how = { local: options.local, keepsSessions: job.session !== undefined };
  await withClient(forJob(config, job), how, context, (work) => runJob(job, work));
}

async function readJob(words: readonly string[], options: RunOptions): Promise<Job> {
  const [file, ...rest] = words;
  const isFile = options.code === undefined;
  if (isFile && file === undefined) {
    throw new GloveboxError('invalid_input', 'There is no program to run.', {
      hint: "Name a file, write code after -c, or - for standard input: glovebox run -c 'print(1)'",
    });
  }
  const named: NamedProgram = isFile ? { file } : { code: options.code };
  const files = findFiles(options.file ?? []);
  checkOut(options.out);
  const timeoutMs = options.timeout === undefined ? undefined : readTimeout(options.timeout);
  const memoryMb = options.memory === undefined ? undefined : readMemory(options.memory);
  const code = await readProgram(named);
  return {
    // The value of a last expression is shown after -c only: a file runs as Python runs it. And a program has a statement.
    code: isFile || code.trim() === '' ? `${code}\npass\n` : code,
    ...{ args: isFile ? rest : words, file: isFile && file !== '-' ? file : undefined, files, timeoutMs, memoryMb },
    web: options.web && splitHosts(options.web),
    ...{ packages: splitPackages(options.with ?? []), out: options.out, session: options.session },
    takesInput: !isFile || file !== '-',
  };
}

/** The settings for an engine of this machine; a server has its own. */
function forJob(config: Config, { timeoutMs = 0, memoryMb }: Job): Config {
  return {
    ...config,
    ...(memoryMb === undefined ? {} : { memoryMb }),
    maxTimeoutS: Math.max(config.maxTimeoutS, Math.ceil(timeoutMs / 1000)),
  };
}

async function runJob(job: Job, { client, console, signal }: Work): Promise<number> {
  const keepsSessions = job.session !== undefined;
  if (client.isServer && job.memoryMb !== undefined) throw memoryOfServer(client);
  console.progress(`Starting a sandbox on ${client.place}`);
  const { id } = await client.open({ name: job.session });
  try {
    await prepare(id, job, { client, console, signal });
    console.progress('Running');
    const end = await runProgram(id, job, { client, console, signal });
    console.endProgress();
    for (const line of explainEnd(end, client)) console.note(`glovebox: ${line}`);
    const isWhole = job.out === undefined || (await fetchMade(client, id, end.files, job.out, console));
    return isWhole || end.status !== 'ok' ? exitStatus(end) : OWN_FAILURE;
  } finally {
    console.endProgress();
    // What cannot be closed now expires. How the program ended matters more.
    if (!keepsSessions) await client.close(id).catch(() => {});
  }
}

/** Sends files and installs packages. @throws GloveboxError when a package cannot be installed */
async function prepare(session: string, { files, packages }: Job, { client, console, signal }: Work): Promise<void> {
  for (const file of files) {
    signal.throwIfAborted();
    console.progress(`Sending ${file.path}`);
    await client.write(session, file.path, readLocal(file));
  }
  if (packages.length === 0) return;
  console.progress(`Installing ${packages.join(', ')}`);
  const onEvent = (event: ClientEvent) => (event.type === 'progress' ? console.progress(event.message) : undefined);
  const { status, packages: results, notes } = await client.install(session, packages, { signal, onEvent });
  signal.throwIfAborted();
  for (const note of notes) console.note(`glovebox: ${note}`);
  if (status === 'ok') return;
  const failed = results.filter(({ error }) => error !== undefined);
  const reasons = failed.map(({ requested, error }) => `${requested}: ${error}`);
  throw new GloveboxError('invalid_input', `The packages cannot be installed (${status}).\n${reasons.join('\n')}`, {
    hint: 'Correct --with, or leave it out. Nothing was run.',
  });
}

async function runProgram(
  session: string,
  { code, args, file, out, timeoutMs, web, takesInput }: Job,
  { client, console, signal }: Work,
): Promise<ProgramEnd> {
  const pictures = new PictureFiles(out ?? '.', file);
  const protocol = console.isTerminal ? pictureProtocol() : undefined;
  const onEvent = async (event: ClientEvent) => {
    if (event.type === 'progress') return console.progress(event.message);
    if (event.type !== 'display') return await console.program(event.type, event.text);
    const picture = pictureOf(event.display);
    if (!picture)
      return await console.program(console.isTerminal ? 'stdout' : 'stderr', `${event.display.text ?? ''}\n`);
    const shown = showOnTerminal(picture, protocol);
    if (shown !== undefined) await console.own(shown);
    console.note(`glovebox: wrote ${pictures.write(picture)}`);
  };
  const stdin = takesInput ? pipedInput() : undefined;
  return await client.run(session, code, { args, stdin, timeoutMs, web, signal, onEvent });
}

/** Splits `--with a,b` into requirements. A comma within `numpy>=2,<3` is no separator. */
function splitPackages(given: readonly string[]): string[] {
  const names = given.flatMap((text) => text.split(/,(?=\s*[A-Za-z0-9])/)).map((name) => name.trim());
  return names.filter((name) => name !== '');
}

/** Splits `--web a,b` into patterns of hosts; `none` is no host. */
function splitHosts(given: readonly string[]): string[] {
  const patterns = given.flatMap((text) => text.split(',')).map((pattern) => pattern.trim());
  return patterns.filter((pattern) => pattern !== '' && pattern !== 'none');
}

/** @throws GloveboxError `invalid_input` for the current folder, and for one above it */
function checkOut(out: string | undefined): void {
  if (out === undefined || !`${resolve('.')}/`.startsWith(`${resolve(out)}/`)) return;
  throw new GloveboxError('invalid_input', `--out is ${out}: the program would choose the names of files there.`, {
    hint: 'Name a folder for them, as in --out results. What has the same name in it is replaced.',
  });
}

function memoryOfServer(client: Client): GloveboxError {
  return new GloveboxError('invalid_input', `--memory cannot be set for ${client.place}.`, {
    hint: 'Start it with GLOVEBOX_MEMORY_MB. Or leave the server alone with --local, which takes an engine of this machine.',
  });
}
