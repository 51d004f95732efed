import { existsSync, realpathSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import type { Connection } from '../client-config/connection.ts';
import { flagOf } from '../config/describe.ts';
import type { Config } from '../config/load.ts';
import { isOwnContainer } from '../engines/docker/host/container-advice.ts';
import { GloveboxError } from '../errors.ts';
import { takesKeys } from '../lib/login/auth-kind.ts';
import type { CommandContext } from './context.ts';

/** Wait for the answer of a server, in milliseconds. */
const PATIENCE_MS = 2000;
/** Settings whose value is a path: the client starts the server in another folder. */
const IS_PATH = /^config$|_(dir|file)$/;

interface Wish {
  /** Address of a running server, true for the one that the settings say, undefined for stdio. */
  readonly http: string | true | undefined;
  /** Settings of the command line. */
  readonly given: Readonly<Record<string, string>>;
  readonly say: CommandContext['say'];
}

/** How a client is to reach Glovebox. */
export async function connectionOf(config: Config, { http, given, say }: Wish): Promise<Connection> {
  if (http === undefined) return startedByClient(config, given);
  const url = http === true ? addressOf(config) : readAddress(http);
  const status = await statusOf(url);
  if (status === undefined) say(`No server answers at ${url} yet: start one with glovebox serve.`);
  return { kind: 'http', url, asksForKey: status === undefined ? takesKeys(config.auth) : status === 401 };
}

/** @throws GloveboxError in a container, where no client could start anything */
function startedByClient(config: Config, given: Readonly<Record<string, string>>): Connection {
  if (isOwnContainer()) {
    throw new GloveboxError('invalid_input', 'A client outside of this container cannot start a program in it.', {
      hint: 'Take --http with the address of the server, such as --http http://127.0.0.1:8000.',
    });
  }
  const settings = Object.entries(given).flatMap(([name, value]) => [
    flagOf(name),
    IS_PATH.test(name) ? resolve(value) : value,
  ]);
  const { host } = config.hostEnvironment.docker;
  const env = host === undefined ? {} : { DOCKER_HOST: host };
  const { command, args } = commandLine(process.argv[1] ?? '');
  return { kind: 'stdio', command, args: [...args, 'stdio', ...settings], env };
}

/** The command that starts this program. What npx fetched may be gone the next time, so npx has to fetch it again. */
export function commandLine(script: string): { command: string; args: readonly string[] } {
  const path = existsSync(script) ? realpathSync(script) : script;
  if (!path.split(sep).includes('_npx')) return { command: process.execPath, args: [path] };
  // Windows starts a script such as npx by its shell only.
  return process.platform === 'win32'
    ? { command: 'cmd', args: ['/c', 'npx', '-y', 'glovebox'] }
    : { command: 'npx', args: ['-y', 'glovebox'] };
}

function addressOf({ host, port }: Config): string {
  const anywhere = host === '0.0.0.0' || host === '::';
  const name = anywhere ? '127.0.0.1' : host;
  return `http://${name.includes(':') && !name.startsWith('[') ? `[${name}]` : name}:${port}/mcp`;
}

/** @throws GloveboxError for what is no address */
export function readAddress(text: string): string {
  const url = URL.parse(/^https?:\/\//i.test(text) ? text : `http://${text}`);
  if (url?.username !== '' || url.password !== '') {
    throw new GloveboxError('invalid_input', `--http is ${JSON.stringify(text)}: this is no address of a server.`, {
      hint: 'Write it as http://127.0.0.1:8000, without a key in it.',
    });
  }
  if (url.pathname === '/') url.pathname = '/mcp';
  return url.href;
}

/** The status with which a server answers a caller without a key. Undefined if there is none. */
async function statusOf(url: string): Promise<number | undefined> {
  try {
    const answer = await fetch(new URL('/tools', url), {
      signal: AbortSignal.timeout(PATIENCE_MS),
      redirect: 'manual',
    });
    await answer.body?.cancel();
    return answer.status;
  } catch {
    return undefined;
  }
}
