import { type Config, loadConfig } from '../config/load.ts';
import { toGloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import { createLog } from '../log.ts';
import { prepareImage, serve, serveStdio, version } from '../server.ts';
import { examine } from './doctor.ts';
import { describeCommand, describeProgram } from './help.ts';
import { keyHelp, runKey } from './key.ts';
import { prepareCompose, serveSocket } from './prepare-compose.ts';

/** Without progress for so long a shutdown is ended; the next start removes what is left. */
const SHUTDOWN_LIMIT_MS = 15_000;
/** Hundreds of containers take the engine a while, in which nothing else would be said. */
const TELL_EVERY_SESSIONS = 50;

const say = (line: string) => process.stderr.write(`${line}\n`);

interface Command {
  readonly summary: string;
  /** What it takes besides settings. */
  readonly usage?: string;
  /** What `--help` after it prints, if that is not its summary and the settings. */
  readonly help?: () => string;
  run(flags: string[], signal: AbortSignal): Promise<void>;
}

const COMMANDS: Record<string, Command> = {
  serve: {
    summary: 'Serve REST and MCP over HTTP.',
    run: async (flags, signal) => {
      const config = loadConfig(undefined, flags);
      const onListening = (urls: readonly string[], firstKey?: string) => tellListening(config, urls, firstKey);
      await serve(config, createLog(config.logLevel), { onProgress: say, onListening, onEnded: tellLeft, signal });
    },
  },
  stdio: {
    summary: 'Serve MCP on stdin and stdout, for a client that starts it.',
    run: async (flags, signal) => {
      // No key is asked for here, so one owner may have all places.
      const config = loadConfig(undefined, ['--auth=none', ...flags]);
      await serveStdio(config, createLog(config.logLevel), signal);
    },
  },
  image: {
    summary: 'Build the sandbox image if it is missing, and print its reference; --control-plane: for compose.',
    usage: '[--control-plane]',
    run: async (flags) => {
      if (flags[0] === '--control-plane') return await prepareCompose(loadConfig(undefined, flags.slice(1)), say);
      const config = loadConfig(undefined, flags);
      process.stdout.write(`${await prepareImage(config, createLog(config.logLevel), say)}\n`);
    },
  },
  key: {
    summary: 'Make, list and revoke the keys that GLOVEBOX_AUTH=keys asks callers for.',
    help: keyHelp,
    run: async (args) => {
      process.exitCode = runKey(args, say);
    },
  },
  doctor: {
    summary: 'Say of the engine, the image, the package index and the settings whether they are in order.',
    run: async (flags) => {
      const config = loadConfig(undefined, flags);
      const print = (line: string) => void process.stdout.write(`${line}\n`);
      if (!(await examine(config, createLog(config.logLevel), print))) process.exitCode = 1;
    },
  },
  'socket-proxy': {
    summary: "Give a control plane the engine's socket, less what it does not need.",
    run: async (flags, signal) => {
      const config = loadConfig(undefined, flags);
      await serveSocket(config, createLog(config.logLevel), signal);
    },
  },
};

const HELP = ['--help', '-h'];

const stop = new AbortController();
let shutdownLimit: NodeJS.Timeout | undefined;

function tellLeft(sessions: number): void {
  shutdownLimit?.refresh();
  if (sessions > 0 && sessions % TELL_EVERY_SESSIONS === 0) say(`Stopping: ${sessions} sessions are left.`);
}

/** Addresses that lead nowhere by themselves, as those of a server that listens on all. */
const WILDCARD = /\/\/(0\.0\.0\.0|\[::\])(?=:)/;

function tellListening({ firstKey: owner }: Config, urls: readonly string[], key?: string): void {
  const shown = urls.map((url) => url.replace(WILDCARD, '//localhost'));
  // The last, as the image is told of 8055 last, and that is what its documented line publishes.
  const url = shown.at(-1);
  if (key !== undefined) {
    say(`Callers need a key. This one was made for "${owner}", since there was none, and is not shown again:`);
    say(`  ${key}`);
    say(`  curl -H "Authorization: Bearer ${key}" ${url}/sessions`);
    say(`MCP clients send the same header to ${url}/mcp. GLOVEBOX_AUTH=none lets anyone call.`);
  }
  say(`Glovebox serves on ${shown.join(' and ')} (MCP: ${url}/mcp); stop it with Ctrl-C.`);
}

async function main([name, ...flags]: string[]): Promise<void> {
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (name === '--version') {
    process.stdout.write(`${version}\n`);
    return;
  }
  if (name === undefined) {
    process.stderr.write(describeProgram(COMMANDS));
    process.exitCode = 2;
    return;
  }
  if ([name, ...flags].some((word) => HELP.includes(word)) || name === 'help') {
    const own = command && (command.help?.() ?? describeCommand(name, command));
    process.stdout.write(own ?? describeProgram(COMMANDS));
    return;
  }
  if (!command) {
    const meant = nearest(name, Object.keys(COMMANDS));
    say(`glovebox: "${name}" is not a command.${meant ? ` Did you mean ${meant}?` : ''} See glovebox --help.`);
    process.exitCode = 2;
    return;
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted && signal === 'SIGINT') process.exit(130);
      stop.abort();
      shutdownLimit ??= setTimeout(() => process.exit(1), SHUTDOWN_LIMIT_MS).unref();
    });
  }
  await command.run(flags, stop.signal);
}

main(process.argv.slice(2)).then(
  () => process.exit(),
  (thrown: unknown) => {
    if (stop.signal.aborted) process.exit(130);
    const error = toGloveboxError(thrown);
    say(`glovebox: ${error.message}\n${error.hint}`);
    if (error.code === 'internal_error') say(String(error.cause instanceof Error ? error.cause.stack : error.cause));
    process.exit(1);
  },
);
