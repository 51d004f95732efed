import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GloveboxError } from '../../../errors.ts';

export interface EngineEnvironment {
  /** `DOCKER_HOST`, `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`, `DOCKER_CONTEXT`, `DOCKER_CONFIG`. */
  readonly docker: {
    readonly host?: string | undefined;
    readonly tlsVerify: boolean;
    readonly certPath?: string | undefined;
    readonly context?: string | undefined;
    readonly configDir: string;
  };
  readonly runtimeDir?: string | undefined;
  readonly home: string;
}

export interface EngineTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized: boolean;
}

/** An address of an engine, and where it was configured. */
export interface EngineEndpoint {
  /** URL with the scheme `unix`, `npipe`, `tcp` or `ssh`. */
  readonly address: string;
  readonly source: string;
  readonly tls?: EngineTls;
}

/** Reads the endpoint that the user named, as the Docker CLI does: `DOCKER_HOST` takes precedence over a context. */
export async function readNamedEndpoint({ docker }: EngineEnvironment): Promise<EngineEndpoint | undefined> {
  if (docker.host) {
    const address = docker.host.includes('://') ? docker.host : `tcp://${docker.host}`;
    const tls = docker.tlsVerify ? { tls: await readTls(docker.certPath ?? docker.configDir, true) } : {};
    return { address, source: 'DOCKER_HOST', ...tls };
  }
  const name = docker.context ?? (await readCurrentContext(docker.configDir));
  if (!name || name === 'default') return undefined;
  return await readContextEndpoint(docker.configDir, name);
}

async function readCurrentContext(configDir: string): Promise<string | undefined> {
  const config = await readJson(join(configDir, 'config.json'));
  const name = config?.['currentContext'];
  return typeof name === 'string' ? name : undefined;
}

async function readContextEndpoint(configDir: string, name: string): Promise<EngineEndpoint> {
  const id = createHash('sha256').update(name).digest('hex');
  const meta = await readJson(join(configDir, 'contexts', 'meta', id, 'meta.json'));
  const endpoint = asObject(asObject(meta?.['Endpoints'])?.['docker']);
  const address = endpoint?.['Host'];
  if (typeof address !== 'string' || address === '') {
    throw new GloveboxError('engine_unavailable', `The Docker context "${name}" is not defined in ${configDir}.`, {
      hint: 'List the contexts with "docker context ls", choose one with "docker context use", or set DOCKER_HOST.',
    });
  }
  const tls = await readTls(join(configDir, 'contexts', 'tls', id, 'docker'), endpoint?.['SkipTLSVerify'] !== true);
  const secured = tls.ca || tls.cert || !tls.rejectUnauthorized ? { tls } : {};
  return { address, source: `the Docker context "${name}"`, ...secured };
}

async function readTls(directory: string, rejectUnauthorized: boolean): Promise<EngineTls> {
  const names = ['ca', 'cert', 'key'] as const;
  const found = await Promise.all(
    names.map(async (name) => [name, await readText(join(directory, `${name}.pem`))] as const),
  );
  return { ...Object.fromEntries(found.filter(([, pem]) => pem !== undefined)), rejectUnauthorized };
}

/** Lists the default endpoints of engines, the most common first. */
export function listDefaultEndpoints(
  { runtimeDir, home }: EngineEnvironment,
  platform: NodeJS.Platform = process.platform,
): EngineEndpoint[] {
  if (platform === 'win32') {
    return ['docker_engine', 'dockerDesktopLinuxEngine', 'podman-machine-default'].map((pipe) => ({
      address: `npipe:////./pipe/${pipe}`,
      source: `the pipe ${pipe}`,
    }));
  }
  const runtime = runtimeDir ? [join(runtimeDir, 'docker.sock')] : [];
  const podman = runtimeDir ? [join(runtimeDir, 'podman', 'podman.sock')] : [];
  const paths = [
    '/var/run/docker.sock',
    ...runtime,
    join(home, '.docker', 'run', 'docker.sock'),
    join(home, '.docker', 'desktop', 'docker.sock'),
    join(home, '.orbstack', 'run', 'docker.sock'),
    join(home, '.colima', 'default', 'docker.sock'),
    join(home, '.config', 'colima', 'default', 'docker.sock'),
    join(home, '.rd', 'docker.sock'),
    ...podman,
    '/run/podman/podman.sock',
  ];
  return paths.map((path) => ({ address: `unix://${path}`, source: path }));
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

async function readJson(path: string): Promise<Record<string, unknown> | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}
