import { statSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { adviseOnGroup, adviseOnMount } from '../host/container-advice.ts';
import { describeInstallation } from '../host/install-advice.ts';
import { type EngineEndpoint, type EngineEnvironment, listDefaultEndpoints, readNamedEndpoint } from './endpoints.ts';
import { SshAgent, sshCommand } from './ssh.ts';

const ANSWER_DEADLINE_MS = 5000;
/** A connection through SSH takes a few round trips and a login. */
const REMOTE_DEADLINE_MS = 20_000;

/** Of Docker 20.10 and Podman 4. */
const OLDEST_API = [1, 41] as const;

export interface ConnectOptions {
  readonly hostEnvironment: EngineEnvironment;
}

export interface EngineConnection {
  readonly docker: Dockerode;
  readonly address: string;
  /** Where the address comes from: `DOCKER_HOST`, `the Docker context "x"`, or the socket's path. */
  readonly source: string;
}

export interface EngineSearch {
  /** Tried in turn when none is named; default: where engines usually listen. */
  readonly endpoints?: readonly EngineEndpoint[];
  readonly deadlineMs?: number;
}

/**
 * The engine that the user named by `DOCKER_HOST` or a context, else the first that answers at a usual place.
 * @throws GloveboxError `engine_unavailable` when there is none; a named one is never replaced by another.
 */
export async function connectEngine(options: ConnectOptions, search: EngineSearch = {}): Promise<EngineConnection> {
  const found = await findEngine(options, search);
  if (found) return found;
  throw new GloveboxError('engine_unavailable', 'No container engine answers on this machine.', {
    hint: adviseOnMount() ?? (await describeInstallation()),
  });
}

/**
 * Like {@link connectEngine}, but undefined when no engine was named and none is there.
 * @throws GloveboxError `engine_unavailable` when the named one does not answer, or one is there but not for this user.
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
    const docker = openEngine(endpoint);
    const deadline = deadlineMs ?? (address.startsWith('ssh:') ? REMOTE_DEADLINE_MS : ANSWER_DEADLINE_MS);
    await pingEngine(docker, deadline);
    return { docker, address, source };
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** The connection, if its engine knows what a sandbox needs. */
async function supported(connection: EngineConnection): Promise<EngineConnection> {
  const { Version: version, ApiVersion: api } = await connection.docker.version();
  const [major = 0, minor = 0] = typeof api === 'string' ? api.split('.').map(Number) : OLDEST_API;
  if (major > OLDEST_API[0] || (major === OLDEST_API[0] && minor >= OLDEST_API[1])) return connection;
  throw new GloveboxError(
    'engine_unavailable',
    `The container engine at ${connection.address} is too old: ${version}, with API ${api}.`,
    { hint: 'Upgrade it: Docker 20.10 or newer, or Podman 4 or newer. Or set DOCKER_HOST to one elsewhere.' },
  );
}

/** Rejects when the engine does not answer within `deadlineMs`. */
export async function pingEngine(docker: Dockerode, deadlineMs: number): Promise<void> {
  // The types of dockerode do not know that it takes a signal.
  const ping = docker.ping as (this: Dockerode, options: { abortSignal: AbortSignal }) => Promise<unknown>;
  await ping.call(docker, { abortSignal: AbortSignal.timeout(deadlineMs) });
}

/**
 * A client for an address; nothing is sent yet.
 * Connections are kept: an exec's hijacked one leaves the pool of its own accord.
 */
export function openEngine({ address, tls }: EngineEndpoint): Dockerode {
  const local = /^(unix|npipe):\/\/(.+)$/.exec(address)?.[2];
  if (local) return createClient({ socketPath: local, agent: new http.Agent({ keepAlive: true }) });
  const url = new URL(address.replace(/^tcp:/, 'http:'));
  if (url.protocol === 'ssh:') {
    return createClient({ protocol: 'http', host: 'ssh.invalid', port: 80, agent: new SshAgent(sshCommand(url)) });
  }
  if (!/^https?:$/.test(url.protocol)) throw new Error(`addresses that begin with ${url.protocol} are not understood`);
  const secure = tls !== undefined || url.protocol === 'https:';
  return createClient({
    protocol: secure ? 'https' : 'http',
    host: url.hostname,
    port: url.port || (secure ? 2376 : 2375),
    pathPrefix: url.pathname,
    agent: secure ? new https.Agent({ keepAlive: true, ...tls }) : new http.Agent({ keepAlive: true }),
  });
}

type ClientOptions = Dockerode.DockerOptions & { agent: http.Agent | https.Agent; pathPrefix?: string };

/** dockerode would take from the environment whatever it is not given; its types do not know `agent` and `pathPrefix`. */
function createClient(options: ClientOptions): Dockerode {
  const nothing = {
    host: undefined,
    port: undefined,
    ca: undefined,
    cert: undefined,
    key: undefined,
    timeout: undefined,
  };
  const complete: Dockerode.DockerOptions = { ...nothing, protocol: 'http', ...options };
  return new Dockerode(complete);
}

function isDenied(error: Error): boolean {
  return 'code' in error && (error.code === 'EACCES' || error.code === 'EPERM');
}

function refused({ address, source }: EngineEndpoint, cause: Error): GloveboxError {
  const path = /^unix:\/\/(.+)$/.exec(address)?.[1];
  // Of a folder, too, the system says that it is denied.
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
        adviseOnMount(path) ?? `Start that engine, or correct ${source}; unset it to use an engine of this machine.`,
      cause,
    },
  );
}

function reasonOf(cause: Error): string {
  if (cause.name === 'TimeoutError' || cause.name === 'AbortError') return 'nothing came back in time.';
  // Several addresses were tried: the message of the whole is empty.
  if (cause instanceof AggregateError) return cause.errors.map((error: Error) => error.message).join(', ');
  return cause.message.trim();
}
