import { homedir } from 'node:os';
import { join } from 'node:path';

/** Standard variables by which the host reaches the engines and the registries, unchanged. */
export interface HostEnvironment {
  /** `DOCKER_HOST`, `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`, `DOCKER_CONTEXT`, `DOCKER_CONFIG`. */
  docker: { host?: string; tlsVerify: boolean; certPath?: string; context?: string; configDir: string };
  /** `KUBECONFIG`, and `KUBERNETES_SERVICE_HOST` with `KUBERNETES_SERVICE_PORT`, which the containers of a pod have. */
  kubernetes: { kubeconfig?: string; service?: { host: string; port: string } };
  /** `XDG_RUNTIME_DIR`, where rootless engines put their sockets. */
  runtimeDir?: string;
  home: string;
  /** The first of `SSL_CERT_FILE`, `NODE_EXTRA_CA_CERTS`, `REQUESTS_CA_BUNDLE` that is set. */
  caFile?: string;
  /** `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` in either case, as they were set. */
  proxy: Readonly<Record<string, string>>;
  /**
   * `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`,
   * `AWS_REGION` or `AWS_DEFAULT_REGION`, by which programs reach storage.
   */
  storage: StorageEnvironment;
  /** Returns all variables with some more, for programs that hand out credentials of a cluster. */
  environmentWith: (more: Readonly<Record<string, string>>) => NodeJS.ProcessEnv;
}

interface StorageEnvironment {
  accessKeyId?: string;
  secretAccessKey?: string;
  sessionToken?: string;
  endpoint?: string;
  region?: string;
}

/** Variables read before the settings: access to the engine, and folders. */
export function readPlaces(env: NodeJS.ProcessEnv = process.env): {
  directories: string[];
  hostEnvironment: HostEnvironment;
} {
  const directories = [env['GLOVEBOX_STATE_DIR'], env['GLOVEBOX_CACHE_DIR']].filter((path) => path !== undefined);
  return { directories, hostEnvironment: hostEnvironment(env) };
}

/** Returns the XDG cache directory. */
export function cacheHome(env: NodeJS.ProcessEnv = process.env): string {
  return env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache');
}

/** Reads them; the environment of this process is not changed. */
export function hostEnvironment(env: NodeJS.ProcessEnv): HostEnvironment {
  const home = env['HOME'] || homedir();
  const caFile = env['SSL_CERT_FILE'] || env['NODE_EXTRA_CA_CERTS'] || env['REQUESTS_CA_BUNDLE'];
  const proxy = Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => /^(https?|no)_proxy$/i.test(entry[0]) && Boolean(entry[1]),
    ),
  );
  return {
    docker: {
      tlsVerify: Boolean(env['DOCKER_TLS_VERIFY']),
      configDir: env['DOCKER_CONFIG'] || join(home, '.docker'),
      ...(env['DOCKER_HOST'] ? { host: env['DOCKER_HOST'] } : {}),
      ...(env['DOCKER_CERT_PATH'] ? { certPath: env['DOCKER_CERT_PATH'] } : {}),
      ...(env['DOCKER_CONTEXT'] ? { context: env['DOCKER_CONTEXT'] } : {}),
    },
    kubernetes: kubernetesAccess(env),
    storage: storageAccess(env),
    home,
    proxy,
    environmentWith: (more) => ({ ...env, ...more }),
    ...(env['XDG_RUNTIME_DIR'] ? { runtimeDir: env['XDG_RUNTIME_DIR'] } : {}),
    ...(caFile ? { caFile } : {}),
  };
}

function storageAccess(env: NodeJS.ProcessEnv): StorageEnvironment {
  const found = {
    accessKeyId: env['AWS_ACCESS_KEY_ID'],
    secretAccessKey: env['AWS_SECRET_ACCESS_KEY'],
    sessionToken: env['AWS_SESSION_TOKEN'],
    endpoint: env['AWS_ENDPOINT_URL_S3'] || env['AWS_ENDPOINT_URL'],
    region: env['AWS_REGION'] || env['AWS_DEFAULT_REGION'],
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value));
}

function kubernetesAccess(env: NodeJS.ProcessEnv): HostEnvironment['kubernetes'] {
  const { KUBECONFIG: kubeconfig, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  return { ...(kubeconfig ? { kubeconfig } : {}), ...(host && port ? { service: { host, port } } : {}) };
}

/** Protocol by which a terminal shows pictures. Undefined if it shows none, as far as is known. */
export type PictureProtocol = 'kitty' | 'iterm';

/** Returns how the terminal of this process shows pictures. A multiplexer in between would not pass them on. */
export function pictureProtocol(env: NodeJS.ProcessEnv = process.env): PictureProtocol | undefined {
  const { TERM: term = '', TERM_PROGRAM: program = '' } = env;
  if (env['TMUX'] || /^(screen|tmux)/.test(term)) return undefined;
  if (env['KITTY_WINDOW_ID'] || term === 'xterm-kitty' || term === 'xterm-ghostty') return 'kitty';
  return program === 'iTerm.app' || program === 'WezTerm' ? 'iterm' : undefined;
}
