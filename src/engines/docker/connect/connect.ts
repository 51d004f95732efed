import { statSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { inspect } from 'node:util';
import Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { readableByPieces } from '../../../lib/sockets/piece-reader.ts';
import { adviseOnGroup, adviseOnMount } from '../host/container-advice.ts';
import { describeInstallation } from '../host/install-advice.ts';
import { type EngineEndpoint, type EngineEnvironment, listDefaultEndpoints, readNamedEndpoint } from './endpoints.ts';
import { assertPodmanVersion, readPodmanVersion } from './podman.ts';
import { SshAgent, sshCommand } from './ssh.ts';

/** Time for an engine to answer, in milliseconds. */
const ANSWER_DEADLINE_MS = 5000;
/** Time to answer through SSH, in milliseconds. SSH takes several round trips and a login. */
const REMOTE_DEADLINE_MS = 20_000;

/** Oldest supported API version, which Docker 20.10 has. */
const OLDEST_API = [1, 41] as const;

export interface ConnectOptions {
  readonly hostEnvironment: EngineEnvironment;
}

export interface EngineConnection {
  readonly docker: Dockerode;
  readonly address: string;
  /** Origin of the address: `DOCKER_HOST`, `the Docker context "x"`, or the path of the socket. */
  readonly source: string;
}

export interface EngineSearch {
  /** Endpoints to try in turn when the user named none; by default the usual ones. */
  readonly endpoints?: readonly EngineEndpoint[];
  /** Time for an engine to answer, in milliseconds. */
  readonly deadlineMs?: number;
}

/**
 * Connects to the engine in `DOCKER_HOST` or the current Docker context, or else to the first of the usual endpoints
 * that answers.
 * @throws GloveboxError `engine_unavailable` when there is none. If the user named an engine, no other is tried.
 */
export async function connectEngine(options: ConnectOptions, search: EngineSearch = {}): Promise<EngineConnection> {
  const found = await findEngine(options, search);
  if (found) return found;
  throw new GloveboxError('engine_unavailable', 'No container engine answers on this machine.', {
    hint: adviseOnMount() ?? (await describeInstallation()),
  });
}

/**
 * Like {@link connectEngine}, but undefined when the user named no engine, and none was found.
 * @throws GloveboxError `engine_unavailable` when the named engine does not answer, or this user may not use the one
 *   found
 */
export async function findEngine(
  { hostEnvironment }: ConnectOptions,
  { endpoints, deadlineMs }: EngineSearch = {},
): Promise<EngineConnection | undefined> {
  const named = await readNamedEndpoint(hostEnvironment);
  if (named) {
    const attempt = await tryEndpoint(named, deadlineMs);
    if ('docker' in attempt) return await supported(attempt);
    throw refused(named, attempt);
  }
  const denied: (() => GloveboxError)[] = [];
  for (const endpoint of endpoints ?? listDefaultEndpoints(hostEnvironment)) {
    const attempt = await tryEndpoint(endpoint, deadlineMs);
    if ('docker' in attempt) return await supported(attempt);
    if (isDenied(attempt)) denied.push(() => refused(endpoint, attempt));
  }
  if (denied[0]) throw denied[0]();
  return undefined;
}

async function tryEndpoint(endpoint: EngineEndpoint, deadlineMs?: number): Promise<EngineConnection | Error> {
  const { address, source } = endpoint;
  try {
    const docker = createDockerClient(endpoint);
    const deadline = deadlineMs ?? (address.startsWith('ssh:') ? REMOTE_DEADLINE_MS : ANSWER_DEADLINE_MS);
    await pingEngine(docker, deadline);
    return { docker, address, source };
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Checks the version of an engine. @throws GloveboxError `engine_unavailable` when it is too old */
async function supported(connection: EngineConnection): Promise<EngineConnection> {
  const said = await connection.docker.version();
  const podman = readPodmanVersion(said);
  if (podman !== undefined) assertPodmanVersion(podman, connection.address);
  const { Version: version, ApiVersion: api } = said;
  const [major = 0, minor = 0] = typeof api === 'string' ? api.split('.').map(Number) : OLDEST_API;
  if (major > OLDEST_API[0] || (major === OLDEST_API[0] && minor >= OLDEST_API[1])) return connection;
  throw new GloveboxError(
    'engine_unavailable',
    `The container engine at ${connection.address} is too old: ${version}, with API ${api}.`,
    { hint: 'Upgrade to Docker 20.10 or newer, or Podman 5 or newer. Or set DOCKER_HOST to another engine.' },
  );
}

/** Waits for an answer of the engine. Rejects when none arrives within `deadlineMs` milliseconds. */
export async function pingEngine(docker: Dockerode, deadlineMs: number): Promise<void> {
  // The types of dockerode lack the option for a signal.
  const ping = docker.ping as (this: Dockerode, options: { abortSignal: AbortSignal }) => Promise<unknown>;
  await ping.call(docker, { abortSignal: AbortSignal.timeout(deadlineMs) });
}

/**
 * Makes a client for an address, without sending anything. Idle connections are kept open. The connection of an exec
 * leaves the pool by itself, because it is upgraded.
 */
export function createDockerClient({ address, tls }: EngineEndpoint): Dockerode {
  const local = /^(unix|npipe):\/\/(.+)$/.exec(address)?.[2];
  if (local) return createClient({ socketPath: local, agent: readableByPieces(new http.Agent({ keepAlive: true })) });
  const url = new URL(address.replace(/^tcp:/, 'http:'));
  if (url.protocol === 'ssh:') {
    return createClient({ protocol: 'http', host: 'ssh.invalid', port: 80, agent: new SshAgent(sshCommand(url)) });
  }
  if (!/^https?:$/.test(url.protocol)) throw new Error(`addresses that begin with ${url.protocol} are not supported`);
  const secure = tls !== undefined || url.protocol === 'https:';
  return createClient({
    protocol: secure ? 'https' : 'http',
    host: url.hostname,
    port: url.port || (secure ? 2376 : 2375),
    pathPrefix: url.pathname,
    agent: readableByPieces(
      secure ? new https.Agent({ keepAlive: true, ...tls }) : new http.Agent({ keepAlive: true }),
    ),
  });
}

type ClientOptions = Dockerode.DockerOptions & { agent: http.Agent | https.Agent; pathPrefix?: string };

/** Sets all options, as dockerode takes missing ones from the environment. Its types lack `agent` and `pathPrefix`. */
function createClient(options: ClientOptions): Dockerode {
  const nothing = {
    host: undefined,
    port: undefined,
    ca: undefined,
    cert: undefined,
    key: undefined,
    timeout: undefined,
  };
  // For its debug log, even where that is off, it writes out what each request is given: with an agent, all that the
  // connections to the engine hold.
  Object.assign(options.agent, { [inspect.custom]: () => 'Agent' });
  const complete: Dockerode.DockerOptions = { ...nothing, protocol: 'http', ...options };
  return new Dockerode(complete);
}

function isDenied(error: Error): boolean {
  return 'code' in error && (error.code === 'EACCES' || error.code === 'EPERM');
}

function refused({ address, source }: EngineEndpoint, cause: Error): GloveboxError {
  const path = /^unix:\/\/(.+)$/.exec(address)?.[1];
  // For a folder, the system also reports that access is denied.
  const isFolder = path !== undefined && statSync(path, { throwIfNoEntry: false })?.isDirectory();
  if (isDenied(cause) && !isFolder) {
    return new GloveboxError('engine_unavailable', `This user may not use the container engine at ${address}.`, {
      hint:
        adviseOnGroup(address) ??
        'Run "sudo usermod -aG docker $USER", then log out and in again (or "newgrp docker"), and start again.',
      cause,
    });
  }
  const place = source.includes(address) || address.includes(source) ? address : `${address} (from ${source})`;
  return new GloveboxError(
    'engine_unavailable',
    `The container engine at ${place} does not answer: ${isFolder ? 'that is a folder.' : reasonOf(cause)}`,
    {
      hint:
        adviseOnMount(path) ?? `Start that engine, or correct ${source}. Unset it to use an engine of this machine.`,
      cause,
    },
  );
}

function reasonOf(cause: Error): string {
  if (cause.name === 'TimeoutError' || cause.name === 'AbortError') return 'the request timed out.';
  // The error of several attempts has an empty message.
  if (cause instanceof AggregateError) return cause.errors.map((error: Error) => error.message).join(', ');
  return cause.message.trim();
}
